"""A real `mlflow ui` on what tracking wrote, as a browser shows it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from chromium import Browser

from ilsvrc.tracking import mlflow_runs, mlflow_store

ERRORS = {("googlenet", 0.05): 5.0, ("resnet18", 0.01): 12.5, ("resnet18", 0.02): 3.5, ("resnet18", 0.05): 30.75}
BY_ERROR = ["resnet18 rate=0.02", "googlenet rate=0.05", "resnet18 rate=0.01", "resnet18 rate=0.05"]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # ten processes less
SECONDS_TO_START = 120.0  # it imports for long where much else is done


class Store:
    """Where the UI is, the experiment's id and the runs' ids by name."""

    def __init__(self, folder: Path) -> None:
        self.runs: dict[str, str] = {}
        for (architecture, rate), error in ERRORS.items():
            name = f"{architecture} rate={rate}"
            given = mlflow_runs.flat({"learning_rate": rate, "architecture": architecture})
            run = mlflow_runs.Tracker(name, folder / name, given, {"architecture": architecture})
            run.finish([{"epoch": epoch, "train_loss": 2 / epoch + rate} for epoch in range(1, 6)], {})
            self.runs[name] = (folder / name).read_text()
            for protocol, more in (("single_crop", 1.0), ("ten_crop", 0.0)):
                mlflow_runs.log_protocol(self.runs[name], protocol, {"top1_error_percent": error + more}, {})
        self.experiment = mlflow_store.connect()[1]
        self.address = ""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, started: Browser) -> Iterator[Store]:
    """The server of a store with two networks and a sweep of three rates."""
    folder = tmp_path_factory.mktemp("ui")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(mlflow_store, "_CONNECTED", {})
        patch.setattr(mlflow_runs, "_LEFT_ALONE", {"until": 0.0})
        made = Store(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1"]
    log = (folder / "server.log").open("w")
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder, env={**os.environ, **QUIET}, stdout=log, stderr=log,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_until_up(server, port, folder / "server.log")
        made.address = f"http://127.0.0.1:{port}/#"
        yield made
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        log.close()


def wait_until_up(server: subprocess.Popen, port: int, log: Path) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)


def says(*texts: str) -> str:
    """A script that tells whether the page says all of `texts`."""
    return f"{json.dumps(texts)}.every(text => document.body.innerText.includes(text))"


def plotted(value: str) -> str:
    """A script that gives the first true `value` of the page's plots, each called `plot`."""
    plots = "[...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot.data && plot.data.length)"
    return f"{plots}.map(plot => {{ try {{ return {value}; }} catch {{ return null; }} }}).find(Boolean)"


def order(browser: Browser, names: list[str]) -> list[str]:
    """`names` as they follow each other on the page."""
    text = browser.text()
    return sorted(names, key=text.index)


def test_runs_are_listed_with_their_protocols_under_them(browser: Browser, store: Store) -> None:
    browser.go(f"{store.address}/experiments/{store.experiment}/runs")
    browser.wait_for(says(*store.runs, "12 matching runs"))  # 4, and 2 protocols of each
    assert not any(" Error" in line for line in browser.text().splitlines())
    uncaught = [event for event in browser.events if event["method"] == "Runtime.exceptionThrown"]
    assert uncaught == []


def test_runs_are_sorted_by_a_protocols_error(browser: Browser, store: Store) -> None:
    key = quote("metrics.`ten_crop/top1_error_percent`", safe="")
    for ascending, wanted in (("true", BY_ERROR), ("false", BY_ERROR[::-1])):
        browser.go("about:blank")
        by = f"orderByKey={key}&orderByAsc={ascending}"
        browser.go(f"{store.address}/experiments/{store.experiment}/runs?{by}")
        browser.wait_for(says("Sort: ten_crop/top1_error_percent", *BY_ERROR))
        assert order(browser, BY_ERROR) == wanted


def test_a_runs_curve_opens_with_each_epochs_loss(browser: Browser, store: Store) -> None:
    run = store.runs["resnet18 rate=0.02"]
    browser.go(f"{store.address}/experiments/{store.experiment}/runs/{run}/model-metrics")
    bottom = "[...document.querySelectorAll('button')].find(button => button.innerText === 'Add section')"
    browser.wait_for(f"(() => {{ const e = {bottom}; if (e) e.scrollIntoView(); return !!e; }})()")  # to draw it
    browser.wait_for(says("train_loss"))
    x, y = browser.wait_for(plotted("plot.data[0].y.length === 5 && [plot.data[0].x, plot.data[0].y]"))
    assert x == [1, 2, 3, 4, 5]
    assert y == pytest.approx([2.02, 1.02, 2 / 3 + 0.02, 0.52, 0.42])


def test_a_sweeps_runs_are_compared_by_parallel_coordinates(browser: Browser, store: Store) -> None:
    sweep = {name: run for name, run in store.runs.items() if name.startswith("resnet18")}
    runs, experiments = (quote(json.dumps(ids)) for ids in (list(sweep.values()), [store.experiment]))
    browser.go(f"{store.address}/compare-runs?runs={runs}&experiments={experiments}")
    browser.wait_for(says("Comparing 3 Runs from 1 Experiment", "Parallel Coordinates Plot", *sweep))
    axes = browser.wait_for(plotted("plot.data[0].dimensions.map(axis => [axis.label, axis.values])"))
    assert [label for label, _ in axes] == ["learning_rate", "train_loss"]
    assert sorted(axes[0][1]) == [0.01, 0.02, 0.05]
    assert sorted(axes[1][1]) == pytest.approx([0.41, 0.42, 0.45])
