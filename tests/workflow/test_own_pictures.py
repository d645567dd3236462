"""A person's own pictures: real photographs in a tar, read in place, and folders with something wrong in them."""

import json
import tarfile
from pathlib import Path

import pytest
from checkouts import Checkout, new_checkout

BOOK = {"dataset": "folder", "recipe": "quick", "protocols": ["single_crop", "ten_crop"]}


@pytest.fixture(scope="module")
def flowers(tmp_path_factory, shared_data) -> Checkout:
    """A checkout in which a network saw 17 kinds of flowers for an epoch."""
    checkout = new_checkout(tmp_path_factory.mktemp("flowers"))
    checkout.write(
        "params.yaml",
        **BOOK,
        costs=False,
        inspect={"nearest_of": 200},
        data={"path": str(shared_data / "flowers17.tar"), "short_side_px": 48},
        architectures=["resnet18_b"],
        training={"epochs": 1, "warmup_epochs": 0, "crop": "area_aspect", "crop_px": 32, "learning_rate": 0.01},
    )
    checkout.snakemake()
    return checkout


def test_photographs_in_a_tar_are_trained_on_and_reported_without_extraction(flowers):
    report = (flowers.folder / "results/report.html").read_text()
    assert all(word in report for word in ("flowers17", "resnet18_b", "other data"))
    assert {path.suffix for path in (flowers.folder / "data").rglob("*") if path.is_file()} == {
        ".csv",
        ".json",
        ".beton",
        ".npy",
        ".npz",
        ".sha256",
        ".lock",
    }
    assert flowers.jobs() == {}


def test_a_trained_network_classifies_a_picture(flowers, shared_data):
    with tarfile.open(shared_data / "flowers17.tar") as archive:
        name = next(n for n in archive.getnames() if n.endswith(".jpg"))
        (flowers.folder / "flower.jpg").write_bytes(archive.extractfile(name).read())
    said = flowers.run("ilsvrc", "classify", "resnet18_b", "flower.jpg", "--json").stdout
    (flowers.folder / "flower.jpg").unlink()
    (found,) = json.loads(said)
    assert len(found["guesses"]) == 5


@pytest.fixture
def pictures(tmp_path, shared_data) -> Path:
    """Two classes of a few photographs each, in two splits, in a folder."""
    folder = tmp_path / "pictures"
    with tarfile.open(shared_data / "flowers17.tar") as archive:
        chosen = [m for m in archive.getmembers() if m.isfile() and ("00_daffodil" in m.name or "16_pansy" in m.name)]
        for member in chosen[::8]:
            target = folder / Path(member.name).relative_to("flowers17")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.extractfile(member).read())
    return folder


def test_a_broken_picture_stops_with_its_name_or_is_skipped_and_listed(checkout, pictures):
    broken = next((pictures / "train/16_pansy").iterdir())
    broken.write_bytes(broken.read_bytes()[:5000])
    checkout.write("params.yaml", **BOOK, data={"path": str(pictures)}, architectures=["resnet18"])
    failed = checkout.snakemake("data", check=False)
    assert failed.returncode == 1
    assert broken.name in failed.stderr
    assert not list((checkout.folder / "data/packed").rglob("train.beton*"))
    checkout.edit(data={"path": str(pictures), "on_bad_image": "skip"})
    checkout.snakemake("data")
    (manifest,) = (checkout.folder / "data/packed").rglob("train.manifest.json")
    (listed,) = json.loads(manifest.read_text())["bad_images"]
    assert listed.endswith(broken.name)


def test_a_class_in_one_split_only_is_named(checkout, pictures):
    (pictures / "val/16_pansy").rename(pictures / "val/17_rose")
    checkout.write("params.yaml", **BOOK, data={"path": str(pictures)}, architectures=["resnet18"])
    failed = checkout.snakemake(check=False)
    assert failed.returncode == 1
    assert "16_pansy" in failed.stderr, failed.stderr


def test_a_new_picture_in_the_folder_is_noticed(checkout, pictures):
    checkout.write("params.yaml", **BOOK, data={"path": str(pictures)}, architectures=["resnet18"])
    checkout.snakemake("data")
    assert checkout.jobs("data") == {}
    first = next((pictures / "train/16_pansy").iterdir())
    (pictures / "train/16_pansy/another.jpg").write_bytes(first.read_bytes())
    assert checkout.jobs("data") == {"acquire": 1, "pack": 2}
