"""Inputs that are not as the stage before wrote them: each is named, and may be set aside and made again."""

from pathlib import Path

import numpy as np
import pytest
import records
import safetensors.torch
import torch

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.evaluation import load_network, predict_split, scores
from ilsvrc.packing import beton
from ilsvrc.runtime import files
from ilsvrc.training import data


@pytest.mark.parametrize(("text", "count"), [("", 0), ("index,name\n0,a.jpg\n", 1), ("\0" * 40, 0)])
def test_a_list_of_images_with_too_few_rows_is_damaged(text: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "val.images.csv"
    path.write_text(text)

    with pytest.raises(files.DamagedError, match=f"lists {count} of 2 images") as error:
        predict_split.image_names(path, 2)

    assert error.value.path == path


@pytest.mark.parametrize("text", ["", "epoch,train_loss\n1,0.5\n"])
def test_a_history_without_a_row_of_each_epoch_is_damaged(text: str, tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text)

    with pytest.raises(files.DamagedError, match="of 30 epochs"):
        scores.curve(records.run_info(epochs=30), path)


def test_weights_of_other_bytes_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)

    with pytest.raises(files.DamagedError, match=r"weights\.safetensors is not the file that weights\.json describes"):
        load_network.trained(records.weights_info(), path)


@pytest.mark.parametrize("content", [b"", bytes(500), b"\x93NUMPY\x01\0"])
def test_a_mean_image_that_is_no_array_is_damaged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "train.mean_image.npy"
    path.write_bytes(content)

    with pytest.raises(files.DamagedError, match="is no mean image"):
        data.read_mean_image(path)


def test_a_mean_image_comes_back(tmp_path: Path) -> None:
    np.save(tmp_path / "train.mean_image.npy", np.full((2, 2, 3), 7, np.float32))
    assert data.read_mean_image(tmp_path / "train.mean_image.npy").mean() == 7


@pytest.mark.parametrize("text", ["", "\0" * 100, "[]", '{"spec": 3}', "{"])
def test_a_manifest_that_is_cut_short_or_another_file_is_damaged(text: str, tmp_path: Path) -> None:
    path = tmp_path / "val.manifest.json"
    path.write_text(text)

    with pytest.raises(files.DamagedError, match="remove it and run snakemake again"):
        Manifest.read(path)


@pytest.mark.parametrize("content", [b"", bytes(5000), b"\2\0" + bytes(5000)])
def test_a_packed_file_that_is_empty_or_zeroed_is_damaged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "val.beton"
    path.write_bytes(content)

    with pytest.raises(files.DamagedError, match="is damaged or no packed file"):
        beton.open_packed(path)
