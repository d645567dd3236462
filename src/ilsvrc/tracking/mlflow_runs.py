"""Runs in MLflow. Training goes on where MLflow is not installed or does not answer."""

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from ilsvrc.runtime import files, messages
from ilsvrc.tracking import mlflow_store

MISSED = Path("work/mlflow_missed")  # there where something could not be logged: scores are written and logged again
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # what a store says of an id that it does not know
SECONDS_BETWEEN_TRIES = 60.0
WORK = "work_folder"  # tag of a training's run, by which it is found where its id was not kept
COMPARED = ("top1_error_percent", "f2_percent")  # of a protocol's metrics, what its training's run has too

_LEFT_ALONE = {"until": 0.0}  # after a failure


def never_stops_training(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turns a failure to log into one line of warning, after which MLflow is left alone for a minute.

    Where it is not installed, for good.
    """

    @wraps(function)
    def careful(*args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < _LEFT_ALONE["until"]:
            return None
        try:
            return function(*args, **kwargs)
        except Exception as error:
            not_installed = isinstance(error, ImportError)
            _LEFT_ALONE["until"] = math.inf if not_installed else time.monotonic() + SECONDS_BETWEEN_TRIES
            why = next(iter(str(error).splitlines()), "")[:200]
            if MISSED.parent.is_dir() and not not_installed:
                MISSED.touch()
            messages.say(f"not logged to MLflow ({type(error).__name__}: {why}); training goes on")
            return None

    return careful


class Tracker:
    """One run in MLflow, found again by the id that `id_file` keeps.

    Args:
        name: of the run.
        id_file: keeps the run's id, outside every rule's outputs; an id that the store does not know starts a new run.
        parameters: flat, logged once.
        tags: such as data set, commit, manifest hash, hardware.
    """

    def __init__(self, name: str, id_file: Path, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        self.name, self.id_file, self.parameters, self.tags = name, id_file, parameters, tags
        self.run_id: str | None = None
        self.logged = 0  # epochs that the store holds

    @never_stops_training
    def open(self) -> None:
        """Finds the run, or starts one."""
        self._opened()

    @never_stops_training
    def log_epochs(self, rows: Iterable[Mapping[str, float | None]]) -> None:
        """Logs each epoch that the store does not hold yet, those that were missed while it was away among them."""
        client = self._opened()
        for row in rows:
            epoch = int(row["epoch"] or 0)
            if epoch > self.logged:
                client.log_batch(self.run_id, metrics=_metrics(row, epoch))
                self.logged = epoch

    def finish(self, rows: Iterable[Mapping[str, float | None]], tags: Mapping[str, str]) -> None:
        """Logs what is missing and closes the run; tries even where the last try has just failed."""
        if _LEFT_ALONE["until"] < math.inf:
            _LEFT_ALONE["until"] = 0.0
        self.log_epochs(rows)
        self._finish(tags)

    @never_stops_training
    def _finish(self, tags: Mapping[str, str]) -> None:
        client = self._opened()
        for key, value in tags.items():
            client.set_tag(self.run_id, key, value)
        client.set_terminated(self.run_id, "FINISHED")

    def _opened(self) -> Any:
        """A client whose store holds this run."""
        client, experiment = mlflow_store.connect()
        if self.run_id is None:
            self.run_id = self._found(client, experiment) or self._created(client, experiment)
            files.write_text(self.id_file, self.run_id)
            client.update_run(self.run_id, status="RUNNING")
        return client

    def _found(self, client: Any, experiment: str) -> str | None:
        run_id = kept_id(self.id_file)
        if run_id is None or not knows(client, run_id):
            run_id = self._begun(client, experiment)
        if run_id is not None:
            history = client.get_metric_history(run_id, "train_loss")
            self.logged = max((metric.step for metric in history), default=0)
        return run_id

    def _begun(self, client: Any, experiment: str) -> str | None:
        """The run that a process began for this work folder before it was killed, without its id having been kept."""
        wanted = f"tags.{WORK} = '{self._work}' and attributes.status = 'RUNNING'"
        found = client.search_runs([experiment], wanted, max_results=1)
        if not found:
            return None
        self._log_parameters(client, found[0].info.run_id, found[0].data.params)
        return str(found[0].info.run_id)

    def _created(self, client: Any, experiment: str) -> str:
        run = client.create_run(experiment, run_name=self.name, tags={**self.tags, WORK: self._work})
        self._log_parameters(client, run.info.run_id, known={})
        return str(run.info.run_id)

    def _log_parameters(self, client: Any, run_id: str, known: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        missing = [Param(key, str(value)) for key, value in self.parameters.items() if key not in known]
        client.log_batch(run_id, params=missing)

    @property
    def _work(self) -> str:
        """Hash of the machine's name and of the work folder, which one training has at a time."""
        return hashlib.sha256(f"{platform.node()}:{self.id_file.parent.absolute()}".encode()).hexdigest()[:16]


@never_stops_training
def stop(id_file: Path, status: str) -> None:
    """Sets the status of a stopped run, FAILED or KILLED; no effect on a run that the store does not know."""
    run_id = kept_id(id_file)
    if run_id is None:
        return
    client, _ = mlflow_store.connect()
    if knows(client, run_id):
        client.set_terminated(run_id, status)


@never_stops_training
def log_protocol(parent: str | None, protocol: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
    """Logs a protocol's scores as a nested run of the run `parent`; the same one is used again.

    What runs are compared by stands at `parent` too, as `<protocol>/<metric>`, beside the parameters that were swept.
    Nothing where the store does not know `parent`: it was trained elsewhere.
    """
    if parent is None:
        return
    client, _ = mlflow_store.connect()
    if not knows(client, parent):
        return
    above = client.get_run(parent)
    experiment = above.info.experiment_id  # which a person may have renamed
    nested = f"tags.`mlflow.parentRunId` = '{parent}' and attributes.run_name = '{protocol}'"
    found = client.search_runs([experiment], nested, max_results=1)
    wanted = {key: float(value) for key, value in metrics.items()}
    compared = {f"{protocol}/{key}": wanted[key] for key in COMPARED if key in wanted}
    known = found and found[0].data.metrics == wanted and found[0].info.status == "FINISHED"
    if known and compared.items() <= above.data.metrics.items():
        return
    run = found[0] if found else client.create_run(
        experiment, run_name=protocol, tags={"mlflow.parentRunId": parent, "protocol": protocol, **tags}
    )  # fmt: skip
    client.log_batch(run.info.run_id, metrics=_metrics(wanted, 0))
    client.log_batch(parent, metrics=_metrics(compared, 0))
    client.set_terminated(run.info.run_id)


@never_stops_training
def log_report(page: Path, figures: Iterable[Path]) -> None:
    """Keeps the page and its figures as artifacts of the run `report`, which every report uses again."""
    client, experiment = mlflow_store.connect()
    found = client.search_runs([experiment], "tags.kind = 'report'", max_results=1)
    run = found[0] if found else client.create_run(experiment, run_name="report", tags={"kind": "report"})
    sha256 = hashlib.sha256(page.read_bytes()).hexdigest()
    if run.data.tags.get("report_sha256") == sha256:
        return
    client.log_artifact(run.info.run_id, str(page))
    for figure in figures:
        client.log_artifact(run.info.run_id, str(figure), "figures")
    client.set_tag(run.info.run_id, "report_sha256", sha256)
    client.set_terminated(run.info.run_id)


@never_stops_training
def open_ensemble(name: str, tags: Mapping[str, str]) -> str | None:
    """The id of an ensemble's run: the one of this name and these members, or a new one."""
    client, experiment = mlflow_store.connect()
    wanted = f"tags.kind = 'ensemble' and attributes.run_name = '{name}'"
    for run in client.search_runs([experiment], wanted):
        if run.data.tags.get("members") == tags["members"]:
            return str(run.info.run_id)
    run = client.create_run(experiment, run_name=name, tags=dict(tags))
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def kept_id(id_file: Path) -> str | None:
    """The id of the run that `id_file` keeps, None where there is none."""
    return id_file.read_text().strip() or None if id_file.exists() else None


def knows(client: Any, run_id: str) -> bool:
    """True if the store holds the run; False of a clone's, and of one that a person deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code in UNKNOWN:
            return False
        raise


def _metrics(row: Mapping[str, float | None], step: int) -> list[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    measured = {key: float(value) for key, value in row.items() if key != "epoch" and value is not None}
    return [Metric(key, value, now, step) for key, value in measured.items()]


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as MLflow keeps them: text, lists as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
