"""Weights from elsewhere: checkpoints of many projects, and files that only look like weights."""

import collections
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ilsvrc.models.pretrained import own_names
from ilsvrc.models.pretrained.read_weights import read_weights


class Small(nn.Module):
    """A stem, a block and a classifier."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.fc = nn.Linear(4, num_classes)


STATE = Small(5).state_dict()
CLASSIFIER = {"fc.weight", "fc.bias"}
Weights = dict[str, Tensor]


def put_before(prefix: str, state: Mapping[str, Tensor] = STATE) -> Weights:
    return {f"{prefix}{name}": value for name, value in state.items()}


def renamed(old: str, new: str) -> Weights:
    return {name.replace(old, new): value for name, value in STATE.items()}


CHECKPOINTS: dict[str, Any] = {
    "alone": STATE,
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model_state_dict": {"model_state_dict": STATE, "optimizer_state_dict": {"state": {0: torch.ones(1)}}},
    "model": {"model": STATE, "optimizer": {"state": {}}},
    "net": {"net": STATE, "acc": 93.1},
    "ema": {"ema": STATE},
    "params": {"params": STATE},
    "a name of its own": {"resnet": STATE, "epoch": 3},
    "nested": {"model": {"state_dict": put_before("module._orig_mod.")}},
    "module.": put_before("module."),
    "_orig_mod.": {"state_dict": put_before("_orig_mod.")},
    "model.": {"state_dict": put_before("model.") | {"criterion.weight": torch.ones(3)}},
    "another prefix": put_before("encoder.trunk."),
    "inside": renamed("block.", "block.module."),
    "inside and before": put_before("model.", renamed("block.", "block.module.")),
    "swa": AveragedModel(Small(5)).state_dict(),
    "linear": renamed("fc.", "linear."),
    "head": put_before("module.", renamed("fc.", "head.")),
    "classifier": {"net": renamed("fc.", "classifier.1.")},
    "half": {name: value.half() if value.is_floating_point() else value for name, value in STATE.items()},
    "ordered": collections.OrderedDict(STATE),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_are_found_in_the_checkpoints_of_other_projects(tmp_path: Path, name: str) -> None:
    torch.save(CHECKPOINTS[name], tmp_path / "given.pth")
    found = read_weights(tmp_path / "given.pth")
    named = own_names.by_own_names(found.state, Small(2).state_dict(), CLASSIFIER)
    assert named.state.keys() >= STATE.keys()
    assert {key: value.shape for key, value in named.state.items() if key in STATE} == {
        key: value.shape for key, value in STATE.items()
    }


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "state_dict.", "ema.module."])
def test_weights_are_found_in_safetensors_whatever_stands_before_them(tmp_path: Path, prefix: str) -> None:
    save_file(put_before(prefix, CHECKPOINTS["half"]), tmp_path / "given.bin")
    named = own_names.by_own_names(read_weights(tmp_path / "given.bin").state, Small(2).state_dict(), CLASSIFIER)
    assert named.state.keys() == STATE.keys()


def test_names_that_fit_stay_whatever_they_begin_with() -> None:
    own = {"module.stem.weight": torch.zeros(2), "stem.weight": torch.zeros(2)}
    assert own_names.by_own_names(own, own, ()) == (own, ())


def test_a_line_says_which_of_two_was_taken_and_from_what_names(tmp_path: Path) -> None:
    torch.save({"model_ema": STATE, "model": put_before("module.", renamed("fc.", "linear."))}, tmp_path / "two.pth")
    found = read_weights(tmp_path / "two.pth")
    assert found.said == ("taken from model, not from model_ema",)
    assert own_names.by_own_names(found.state, STATE, CLASSIFIER).said == (
        "module.stem.weight taken for stem.weight, and others likewise",
        "the classifier linear taken for fc",
    )


def test_of_weights_and_their_average_in_one_safetensors_file_the_average_comes_last() -> None:
    both = {
        f"{prefix}{name}": value + at for at, prefix in enumerate(("ema.", "model.")) for name, value in STATE.items()
    }
    assert torch.equal(own_names.by_own_names(both, STATE, CLASSIFIER).state["fc.bias"], STATE["fc.bias"] + 1)


def test_a_classifier_of_another_name_is_left_alone_where_two_layers_fit() -> None:
    given = renamed("fc.", "head.") | {"other.weight": torch.zeros(7, 4), "other.bias": torch.zeros(7)}
    assert "fc.weight" not in own_names.by_own_names(given, STATE, CLASSIFIER).state


def write_others(folder: Path) -> dict[str, str]:
    """Files that hold no weights, and how the messages go on."""
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), folder / "script.pt")
    torch.save(nn.Linear(2, 2), folder / "whole.pth")
    torch.save({"state_dict": STATE, "best": np.float64(71.2)}, folder / "scalar.pth")
    torch.save({"optimizer": {"state": {}}, "epoch": 3}, folder / "optimizer.pth")
    torch.save([1, 2], folder / "list.pth")
    torch.save(STATE, folder / "cut.pth")
    save_file(STATE, folder / "cut.safetensors")
    for cut in ("cut.pth", "cut.safetensors"):
        (folder / cut).write_bytes((folder / cut).read_bytes()[:-400])
    (folder / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n")
    (folder / "page.pth").write_text("\n<!DOCTYPE html>")
    (folder / "empty.pth").write_bytes(b"")
    (folder / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (folder / "text.pth").write_text("hello")
    with zipfile.ZipFile(folder / "zip.pth", "w") as archive:
        archive.writestr("inside.pth", b"")
    return {
        "script.pt": "it is a TorchScript program; save its state dict: torch.save(torch.jit.load('script.pt').state_",
        "whole.pth": "it holds a Python object, torch.nn.modules.linear.Linear, and objects can run code, so they are ",
        "scalar.pth": "it holds a Python object, numpy._core.multiarray.scalar, and objects can run code, so they are",
        "optimizer.pth": "there is no tensor under its keys (optimizer, epoch); save a state dict: torch.save(model.",
        "list.pth": "it holds a list, not a state dict; save one: torch.save(model.state_dict(), ...)",
        "cut.pth": "it is damaged or was cut off; download or save it again",
        "cut.safetensors": "it is damaged or was cut off (",
        "pointer.safetensors": "it is a Git LFS pointer; `git lfs pull` in its repository fetches the weights",
        "page.pth": "it is a web page; download the file itself",
        "empty.pth": "it is empty; download or save it again",
        "keras.h5": "it is an HDF5 file, as Keras writes; load it there and save a state dict of torch: torch.save(",
        "text.pth": "it is neither a safetensors file nor a state dict that torch.save wrote; save one: torch.save(",
        "zip.pth": "it is a zip of inside.pth; unpack it, or save a state dict: torch.save(",
    }


@pytest.mark.filterwarnings("ignore")
def test_files_that_hold_no_weights_are_refused_in_a_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    for name, why in write_others(tmp_path).items():
        with pytest.raises(ValueError, match="holds no weights: ") as error:
            read_weights(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name} holds no weights: {why}")
