"""The bottleneck of a training, on a few digits."""

import re
from pathlib import Path

import numpy as np
import pytest
import small_training
import yaml
from commands import run_verb

from ilsvrc.config import packed_formats, params
from ilsvrc.packing.beton import Packed
from ilsvrc.pipeline import wiring
from ilsvrc.profiling import bottleneck, throughput
from ilsvrc.profiling.throughput import Machine, Rate

BOOK = {
    "dataset": "digits", "architectures": ["alexnet", "resnet18"], "recipe": "quick", "seeds": [0, 1],
    "training": {"batch_size": 16}, "protocols": ["single_crop"],
}  # fmt: skip

PARTS = ("disk", "loader", "resnet18")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(throughput, "SECONDS", 0.05)
    Path("params.yaml").write_text(yaml.safe_dump(BOOK))
    return tmp_path


def packed_digits() -> None:
    flow = wiring.Pipeline(params.load("params.yaml"))
    Path(flow.packed).mkdir(parents=True)
    small_training.pack_digits(Path(flow.packed).absolute(), packed_formats.form_spec(flow.params))


def run_bottleneck(*words: str) -> None:
    run_verb("bottleneck", "--loader", "pillow", "--threads", "1", "--gpus", "0", *words)


def test_each_part_of_each_architecture_has_a_rate_and_one_of_them_limits(folder: Path, capsys):
    packed_digits()
    run_bottleneck()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "images/s", "disk", "loader", "alexnet", "alexnet:", "loader", "resnet18", "resnet18:",
    ]  # fmt: skip
    assert all(float(line.split()[1]) > 0 for line in lines[1:4])
    assert "limits" in lines[4]


def test_an_architecture_can_be_named(folder: Path, capsys):
    packed_digits()
    run_bottleneck("zfnet", "--precision", "float32")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["loader", "zfnet", "zfnet:"]
    assert "float32" in lines[3]


def test_without_packed_files_it_says_what_to_run(folder: Path):
    with pytest.raises(ValueError, match=r"train\.beton is not there; .*snakemake --cores all data"):
        run_bottleneck()


def test_an_unknown_architecture_is_refused(folder: Path):
    packed_digits()
    with pytest.raises(ValueError, match="resnet19"):
        run_bottleneck("resnet19")


@pytest.mark.parametrize(
    ("rates", "in_memory", "loader", "expected"),
    [
        ((900, 800, 30), False, "ffcv", "resnet18: the network limits, 0.6 minutes for 1000 images; loading keeps up"),
        ((900, 20, 30), False, "ffcv", "the loader limits, 0.8 minutes"),
        ((900, 20, 30), False, "ffcv", r"set data: \{short_side_px: 256\}"),
        ((900, 20, 30), False, "pillow", "use --set-resources train:loader=ffcv"),
        ((10, 20, 30), False, "ffcv", "the disk limits, 1.7 minutes for 1000 images; a faster disk"),
        ((10, 20, 30), True, "ffcv", "the loader limits"),
    ],
)
def test_the_slowest_part_decides(monkeypatch, rates: tuple[int, ...], in_memory: bool, loader: str, expected: str):
    monkeypatch.setattr(bottleneck, "fits_in_memory", lambda opened: in_memory)
    columns = np.zeros(1000, np.int64)
    opened = Packed(Path("train.beton"), columns, columns, columns, columns, columns, columns)
    disk, loader_, network = (Rate(part, value, "") for part, value in zip(PARTS, rates, strict=True))
    limit = bottleneck.find_limit("resnet18", opened, (disk, loader_, network), Machine(1, 0, loader))
    assert re.search(expected, limit.advice)
    assert bottleneck.as_json(bottleneck.Bottleneck((disk,), (limit,)))["limits"][0]["part"] == limit.part


def test_the_first_steps_do_not_count(monkeypatch):
    clock = iter([0.0, 10.0, 20.0, 21.0, 22.0, 23.0, 24.0])
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(clock))
    assert throughput.rate([5, 5, 7, 7], skip=2) == pytest.approx(14 / 3)
