import math
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from ilsvrc.tracking import mlflow_runs, mlflow_store

ROWS = [{"epoch": e, "train_loss": 1 / e, "validation_top5_error_percent": None} for e in (1, 2, 3, 4)]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing of what a test before this one connected to or found away."""
    monkeypatch.setattr(mlflow_store, "_CONNECTED", {})
    monkeypatch.setattr(mlflow_runs, "_LEFT_ALONE", {"until": 0.0})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working directory with a database: making one takes seconds."""
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture
def id_file(folder, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(folder)
    return tmp_path / "work" / "mlflow_run"


def tracker(id_file: Path) -> mlflow_runs.Tracker:
    parameters = mlflow_runs.flat({"learning_rate": 0.1, "step_epochs": [1, 2], "crop": "patch", "clip_norm": None})
    return mlflow_runs.Tracker("alexnet quick seed=0", id_file, parameters, {"commit": "0123abc", "manifest": "ab"})


def stored(id_file: Path):
    client, _ = mlflow_store.connect()
    return client.get_run(id_file.read_text())


def steps(id_file: Path) -> list[int]:
    client, _ = mlflow_store.connect()
    return [metric.step for metric in client.get_metric_history(id_file.read_text(), "train_loss")]


def test_a_database_that_was_half_made_when_its_process_ended_is_not_used(tmp_path, monkeypatch):
    """MLflow changes its tables step by step, and cannot open those that it left in between."""
    monkeypatch.chdir(tmp_path)
    made = []

    def killed(tracking_uri):
        made.append(Path(tracking_uri.removeprefix("sqlite:///")))
        made[0].write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "mlflow.tracking", SimpleNamespace(MlflowClient=killed))
    with pytest.raises(KeyboardInterrupt):
        mlflow_store.connect()
    assert made[0].parent == tmp_path and made[0].name != "mlflow.db"
    assert not (tmp_path / "mlflow.db").exists()


def test_a_run_has_its_name_parameters_tags_and_curves(id_file, capfd):
    first = tracker(id_file)
    first.open()
    first.log_epochs(ROWS[:2])
    first.finish(ROWS, {"precision": "float32"})
    run = stored(id_file)
    assert (run.info.run_name, run.info.status) == ("alexnet quick seed=0", "FINISHED")
    assert run.data.params == {
        "learning_rate": "0.1",
        "step_epochs": "[1, 2]",
        "crop": "patch",
        "clip_norm": "null",
    }
    assert {key: run.data.tags[key] for key in ("commit", "manifest", "precision")} == {
        "commit": "0123abc", "manifest": "ab", "precision": "float32"}  # fmt: skip
    assert steps(id_file) == [1, 2, 3, 4]
    assert run.data.metrics == {"train_loss": 0.25}  # what was not measured is not there
    assert capfd.readouterr().err == ""  # not a word of the tables that it makes


def test_a_second_process_reopens_the_run_and_logs_later_epochs_only(id_file):
    tracker(id_file).log_epochs(ROWS[:2])
    run_id = id_file.read_text()
    tracker(id_file).log_epochs(ROWS[:3])
    tracker(id_file).finish(ROWS, {})
    assert id_file.read_text() == run_id
    assert Counter(steps(id_file)) == {1: 1, 2: 1, 3: 1, 4: 1}


@pytest.mark.parametrize("unknown", ["0" * 32, "not an id", ""])
def test_an_id_that_the_store_does_not_know_starts_a_new_run(unknown, id_file):
    id_file.parent.mkdir()
    id_file.write_text(unknown)
    tracker(id_file).log_epochs(ROWS[:1])
    assert id_file.read_text() != unknown
    assert steps(id_file) == [1]


def test_a_run_that_a_person_deleted_is_not_reopened(id_file):
    tracker(id_file).log_epochs(ROWS[:1])
    deleted = id_file.read_text()
    mlflow_store.connect()[0].delete_run(deleted)
    tracker(id_file).log_epochs(ROWS[:1])
    assert id_file.read_text() != deleted


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_stands_still_says_so_and_runs_again_when_reopened(status, id_file):
    tracker(id_file).open()
    mlflow_runs.stop(id_file, status)
    assert stored(id_file).info.status == status
    tracker(id_file).open()
    assert stored(id_file).info.status == "RUNNING"


def test_stopping_what_never_began_is_nothing(id_file, capfd):
    mlflow_runs.stop(id_file, "FAILED")
    assert not id_file.exists()
    assert capfd.readouterr().err == ""


def test_a_protocol_is_a_nested_run_that_is_found_again(id_file):
    tracker(id_file).open()
    parent = id_file.read_text()
    for error in (3.5, 3.5, 2.5):
        mlflow_runs.log_protocol(parent, "ten_crop", {"top1_error_percent": error}, {"num_images": "355"})
    mlflow_runs.log_protocol(parent, "single_crop", {"top1_error_percent": 4.0}, {})
    client, experiment = mlflow_store.connect()
    nested = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    found = {run.info.run_name: run.data.metrics["top1_error_percent"] for run in nested}
    assert found == {"ten_crop": 2.5, "single_crop": 4.0}
    assert len(nested) == 2
    (ten,) = (run for run in nested if run.info.run_name == "ten_crop")
    values = [m.value for m in client.get_metric_history(ten.info.run_id, "top1_error_percent")]
    assert values == [3.5, 2.5]  # what has not changed is not logged again
    both = {"ten_crop/top1_error_percent": 2.5, "single_crop/top1_error_percent": 4.0}
    assert client.get_run(parent).data.metrics == both


class Killed(BaseException):
    """Ends a process in the middle of a call, as SIGKILL would."""


def killed_at(monkeypatch, name: str) -> None:
    """The next call of the client's method `name` is the last one of its process."""
    client, _ = mlflow_store.connect()

    def dies(self, *args, **kwargs):
        raise Killed

    monkeypatch.setattr(type(client), name, dies)


@pytest.mark.parametrize("call", ["log_batch", "update_run"])
def test_a_run_whose_process_was_killed_while_it_began_is_gone_on_with(call, id_file, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, call)
        tracker(id_file).open()
    again = tracker(id_file)
    again.finish(ROWS, {})
    client, experiment = mlflow_store.connect()
    of_this = client.search_runs([experiment], f"tags.{mlflow_runs.WORK} = '{again._work}'")
    assert [run.info.status for run in of_this] == ["FINISHED"]
    assert of_this[0].data.params["learning_rate"] == "0.1" and steps(id_file) == [1, 2, 3, 4]


@pytest.mark.parametrize("call", ["log_batch", "set_terminated"])
def test_a_protocol_whose_process_was_killed_while_it_was_logged_is_whole_the_next_time(call, id_file, monkeypatch):
    tracker(id_file).open()
    parent, scores = id_file.read_text(), ("ten_crop", {"top1_error_percent": 3.5}, {})
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, call)
        mlflow_runs.log_protocol(parent, *scores)
    mlflow_runs.log_protocol(parent, *scores)
    client, experiment = mlflow_store.connect()
    (nested,) = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert (nested.info.status, nested.data.metrics) == ("FINISHED", {"top1_error_percent": 3.5})
    assert client.get_run(parent).data.metrics == {"ten_crop/top1_error_percent": 3.5}


def test_protocols_go_where_their_run_is_and_an_experiment_in_the_bin_is_named(id_file, monkeypatch, capfd):
    tracker(id_file).open()
    client, experiment = mlflow_store.connect()
    client.rename_experiment(experiment, "mine")
    monkeypatch.setattr(mlflow_store, "_CONNECTED", {})
    try:
        mlflow_runs.log_protocol(id_file.read_text(), "ten_crop", {"top1_error_percent": 3.5}, {})
        nested = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{id_file.read_text()}'")
        assert [run.info.run_name for run in nested] == ["ten_crop"]
        other = client.get_experiment_by_name(mlflow_store.EXPERIMENT).experiment_id
        client.delete_experiment(other)
        monkeypatch.setattr(mlflow_store, "_CONNECTED", {})
        tracker(id_file.with_name("other")).open()
        said = capfd.readouterr().err
        assert f"is in the bin; `mlflow experiments restore --experiment-id {other}`" in said
    finally:
        client.restore_experiment(other)
        client.rename_experiment(other, "another")
        client.rename_experiment(experiment, mlflow_store.EXPERIMENT)


def test_a_database_that_cannot_be_opened_is_one_line_and_no_wait(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    mlflow_store.DATABASE.write_bytes(b"no database at all, but some other file of a person's" * 99)
    start = time.perf_counter()
    Path("work").mkdir()
    tracker(tmp_path / "id").open()
    assert time.perf_counter() - start < 10 and mlflow_runs.MISSED.exists()
    assert "not logged to MLflow (DatabaseError: file is not a database)" in capfd.readouterr().err
    assert not mlflow_store.answers()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    assert not mlflow_store.answers()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    mlflow_store.DATABASE.unlink()
    assert mlflow_store.answers()


def test_another_process_that_connects_for_ever_is_not_waited_for_for_ever(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mlflow_store, "SECONDS_FOR_OTHERS", 0.2)
    with mlflow_store.locks.locked(mlflow_store.LOCK):
        tracker(tmp_path / "id").open()
    assert "not logged to MLflow (Timeout" in capfd.readouterr().err


def test_a_protocol_of_a_run_from_elsewhere_is_left_out(id_file, capfd):
    mlflow_runs.log_protocol(None, "ten_crop", {"top1_error_percent": 1.0}, {})
    mlflow_runs.log_protocol("0" * 32, "ten_crop", {"top1_error_percent": 1.0}, {})
    client, experiment = mlflow_store.connect()
    assert not client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{'0' * 32}'")
    assert capfd.readouterr().err == ""


def test_a_server_that_is_away_is_one_line_and_no_wait(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    away, start = tracker(tmp_path / "id"), time.perf_counter()
    away.open()
    for epoch in range(1, 4):
        away.log_epochs(ROWS[:epoch])
    assert time.perf_counter() - start < 5
    err = capfd.readouterr().err
    assert err.count("not logged to MLflow") == 1
    assert "training goes on" in err
    assert not (tmp_path / "id").exists()


def test_what_was_missed_is_logged_when_the_store_is_back(id_file, monkeypatch):
    away = tracker(id_file)
    away.log_epochs(ROWS[:1])
    with monkeypatch.context() as broken:
        broken.setattr(away, "_opened", lambda: 1 / 0)
        away.log_epochs(ROWS[:2])
    away.log_epochs(ROWS[:3])  # within the minute: not tried
    assert away.logged == 1
    mlflow_runs._LEFT_ALONE["until"] = 0.0
    away.log_epochs(ROWS[:3])
    assert away.logged == 3


def test_an_error_without_a_message_stops_nothing(capfd):
    @mlflow_runs.never_stops_training
    def fails() -> None:
        raise ConnectionError

    assert fails() is None
    assert "not logged to MLflow (ConnectionError: )" in capfd.readouterr().err


def test_training_goes_on_where_mlflow_is_not_installed(tmp_path, monkeypatch, capfd):
    for name in [name for name in sys.modules if name.split(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    without = tracker(tmp_path / "id")
    without.open()
    without.log_epochs(ROWS)
    without.finish(ROWS, {})
    mlflow_runs.stop(tmp_path / "id", "FAILED")
    mlflow_runs.log_protocol("0" * 32, "ten_crop", {}, {})
    assert capfd.readouterr().err.count("not logged") == 1  # once is enough
    assert mlflow_runs._LEFT_ALONE["until"] == math.inf


def test_four_processes_that_connect_first_at_once_all_succeed(tmp_path):
    code = "from ilsvrc.tracking import mlflow_store; print(mlflow_store.connect()[1])"
    start = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=-1, stderr=-1, text=True) for _ in "1234"
    ]
    ended = [process.communicate(timeout=60) for process in start]
    assert [process.returncode for process in start] == [0] * 4, ended
    assert len({out for out, _ in ended}) == 1


def test_an_ensembles_run_is_found_again_by_its_name_and_members(id_file):
    tags = {"kind": "ensemble", "members": "0a1b2c3d 4e5f6071"}
    first = mlflow_runs.open_ensemble("ensemble/five", tags)
    assert mlflow_runs.open_ensemble("ensemble/five", tags) == first
    assert mlflow_runs.open_ensemble("ensemble/five", {**tags, "members": "0a1b2c3d"}) != first
    client, _ = mlflow_store.connect()
    assert client.get_run(first).data.tags["kind"] == "ensemble"
    assert client.get_run(first).info.run_name == "ensemble/five"
