"""MLflow's store: the working folder's database, or the server that MLFLOW_TRACKING_URI names."""

import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ilsvrc.runtime import files, locks

DATABASE = Path("mlflow.db")  # where a plain `mlflow ui` looks
LOCK = Path("work/mlflow.lock")
ARTIFACTS = Path("mlartifacts")  # a folder named mlruns would make the UI ignore the database
EXPERIMENT = "ilsvrc"
PORTS, SECONDS_TO_ANSWER = {"http": 80, "https": 443}, 2.0
SECONDS_FOR_OTHERS = 30.0  # that another process may take to connect

_CONNECTED: dict[str, tuple[Any, str]] = {}


def connect() -> tuple[Any, str]:
    """A client, and the experiment's id. One process at a time creates the database: two at once would crash."""
    store = os.environ.get("MLFLOW_TRACKING_URI") or own_store()
    if store not in _CONNECTED:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is down must not hold up training
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # else it tells of every table that it makes
        from mlflow.tracking import MlflowClient  # before the lock: others would wait for it meanwhile

        with locks.locked(LOCK, limit_s=SECONDS_FOR_OTHERS):
            _CONNECTED[store] = _connect(store, MlflowClient)
    return _CONNECTED[store]


def own_store() -> str:
    """Address of the working folder's database."""
    return f"sqlite:///{DATABASE.absolute()}"


def _connect(store: str, opened: Callable[..., Any]) -> tuple[Any, str]:
    if store == own_store() and DATABASE.exists():
        _check(DATABASE)
    elif store == own_store():
        with files.atomically(DATABASE) as unfinished:  # a process that is killed here leaves no half database
            unfinished.with_name(f"{unfinished.name}-journal").unlink(missing_ok=True)  # of one with the same number
            opened(tracking_uri=f"sqlite:///{unfinished.absolute()}").search_experiments()
    client = opened(tracking_uri=store)  # an absolute address: MLflow keeps what it opened by it
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None and experiment.lifecycle_stage != "active":
        number = experiment.experiment_id
        raise ValueError(
            f"the experiment {EXPERIMENT} is in the bin; `mlflow experiments restore --experiment-id {number}` brings"
            " it back, and the next run of snakemake logs what is missing"
        )
    if experiment is not None:
        return client, experiment.experiment_id
    location = ARTIFACTS.absolute().as_uri() if store.startswith("sqlite") else None
    shown_as = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens at training runs
    return client, client.create_experiment(EXPERIMENT, artifact_location=location, tags=shown_as)


def answers() -> bool:
    """True if the store seems to be there; MLflow is not imported for it."""
    store = os.environ.get("MLFLOW_TRACKING_URI") or own_store()
    address = urlsplit(store)
    try:
        if store == own_store() and DATABASE.exists():
            _check(DATABASE)
        elif address.scheme in PORTS:
            port = address.port or PORTS[address.scheme]
            socket.create_connection((address.hostname or "", port), SECONDS_TO_ANSWER).close()
    except (OSError, sqlite3.Error):
        return False
    return True


def _check(database: Path) -> None:
    """Opens a database once: MLflow would try for 100 seconds.

    Raises:
        OSError: it cannot be opened.
        sqlite3.Error: it is none.
    """
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)) as opened:
        opened.execute("PRAGMA schema_version").fetchone()
