"""`make report`: the runs that are complete, while others train."""

from pathlib import Path

import fake_results
import pytest
from commands import run_verb

from ilsvrc.config import params, runs
from ilsvrc.reporting import figures

BOOK = """
dataset: digits
architectures: [alexnet, resnet18]
recipe: quick
protocols: [single_crop, ten_crop]
"""


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[runs.Run]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "as_svg", lambda figure: "<svg></svg>")  # most of a report's time
    Path("params.yaml").write_text(BOOK)
    return runs.expand(params.load())


def test_complete_runs_are_reported_and_the_others_named(named, capsys):
    fake_results.write_run(named[1])
    run_verb("report")
    assert f"left out, not complete: {named[0].name}" in capsys.readouterr().out
    assert "resnet18" in Path("results/report.html").read_text()
    assert len(Path("results/scores.csv").read_text().splitlines()) == 1 + 2


def test_without_any_complete_run_it_says_so(named):
    with pytest.raises(ValueError, match=r"none of the 2 runs of params\.yaml is complete yet"):
        run_verb("report")
