"""Runs in MLflow. Training goes on where MLflow is not installed or does not answer."""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from ilsvrc.runtime import files, locks, messages

DATABASE = Path("mlflow.db")  # where a plain `mlflow ui` looks
LOCK = Path("work/mlflow.lock")
ARTIFACTS = Path("mlartifacts")  # a folder named mlruns would make the UI ignore the database
EXPERIMENT = "ilsvrc"
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # what a store says of an id that it does not know
SECONDS_BETWEEN_TRIES = 60.0
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
        client, experiment = connect()
        if self.run_id is None:
            self.run_id = self._found(client) or self._created(client, experiment)
            client.update_run(self.run_id, status="RUNNING")
        return client

    def _found(self, client: Any) -> str | None:
        run_id = kept_id(self.id_file)
        if run_id is None or not knows(client, run_id):
            return None
        history = client.get_metric_history(run_id, "train_loss")
        self.logged = max((metric.step for metric in history), default=0)
        return run_id

    def _created(self, client: Any, experiment: str) -> str:
        from mlflow.entities import Param

        run = client.create_run(experiment, run_name=self.name, tags=dict(self.tags))
        parameters = [Param(key, str(value)) for key, value in self.parameters.items()]
        client.log_batch(run.info.run_id, params=parameters)
        files.write_text(self.id_file, run.info.run_id)
        return str(run.info.run_id)


@never_stops_training
def stop(id_file: Path, status: str) -> None:
    """Sets the status of a stopped run, FAILED or KILLED; no effect on a run that the store does not know."""
    run_id = kept_id(id_file)
    if run_id is None:
        return
    client, _ = connect()
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
    client, experiment = connect()
    if not knows(client, parent):
        return
    nested = f"tags.`mlflow.parentRunId` = '{parent}' and attributes.run_name = '{protocol}'"
    found = client.search_runs([experiment], nested, max_results=1)
    wanted = {key: float(value) for key, value in metrics.items()}
    if found and found[0].data.metrics == wanted:
        return
    run = found[0] if found else client.create_run(
        experiment, run_name=protocol, tags={"mlflow.parentRunId": parent, "protocol": protocol, **tags}
    )  # fmt: skip
    client.log_batch(run.info.run_id, metrics=_metrics(wanted, 0))
    client.set_terminated(run.info.run_id)
    compared = {f"{protocol}/{key}": wanted[key] for key in COMPARED if key in wanted}
    client.log_batch(parent, metrics=_metrics(compared, 0))


@never_stops_training
def log_report(page: Path, figures: Iterable[Path]) -> None:
    """Keeps the page and its figures as artifacts of the run `report`, which every report uses again."""
    client, experiment = connect()
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
    client, experiment = connect()
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


_CONNECTED: dict[str, tuple[Any, str]] = {}


def connect() -> tuple[Any, str]:
    """A client, and the experiment's id. One process at a time creates the database: two at once would crash."""
    store = os.environ.get("MLFLOW_TRACKING_URI") or own_store()
    if store not in _CONNECTED:
        with locks.locked(LOCK):
            _CONNECTED[store] = _connect(store)
    return _CONNECTED[store]


def own_store() -> str:
    """Address of the working folder's database."""
    return f"sqlite:///{DATABASE.absolute()}"


def _connect(store: str) -> tuple[Any, str]:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is down must not hold up training
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # else it tells of every table that it makes
    from mlflow.tracking import MlflowClient

    if store == own_store() and not DATABASE.exists():
        with files.atomically(DATABASE) as unfinished:  # a process that is killed here leaves no half database
            unfinished.with_name(f"{unfinished.name}-journal").unlink(missing_ok=True)  # of one with the same number
            MlflowClient(tracking_uri=f"sqlite:///{unfinished.absolute()}").search_experiments()
    client = MlflowClient(tracking_uri=store)  # an absolute address: MLflow keeps what it opened by it
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return client, experiment.experiment_id
    location = ARTIFACTS.absolute().as_uri() if store.startswith("sqlite") else None
    shown_as = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens at training runs
    return client, client.create_experiment(EXPERIMENT, artifact_location=location, tags=shown_as)


def _metrics(row: Mapping[str, float | None], step: int) -> list[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    measured = {key: float(value) for key, value in row.items() if key != "epoch" and value is not None}
    return [Metric(key, value, now, step) for key, value in measured.items()]


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as MLflow keeps them: text, lists as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
