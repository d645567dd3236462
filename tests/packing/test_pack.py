import csv
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ilsvrc.config.specs import FormSpec, PackSpec, SourceSpec, specification
from ilsvrc.datasets._acquire import AcquireJob, acquire
from ilsvrc.packing.beton import content_sha256, open_packed
from ilsvrc.runtime import locks
from ilsvrc.runtime.files import DamagedError
from ilsvrc.stages import pack

DIGITS = FormSpec(data="digits", short_side_px=91, upscale=True, encoding="raw")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    acquire(AcquireJob(SourceSpec(dataset="digits"), folder / "source.json", folder / "index.csv"))
    return folder


def options(raw: Path, out: Path, form: FormSpec = DIGITS, split: str = "val", workers: int = 1) -> list[str]:
    paths = {
        "--beton": "x.beton",
        "--manifest": "x.manifest.json",
        "--images": "x.images.csv",
        "--mean-image": "x.mean_image.npy",
    }
    named = [part for key, name in paths.items() for part in (key, str(out / name))]
    sources = ["--source", f"{raw}/source.json", "--index", f"{raw}/index.csv", "--split", split]
    return ["--spec", specification(form), *sources, *named, "--workers", str(workers)]


def run(raw: Path, out: Path, **changes: object) -> tuple[dict, list[dict[str, str]]]:
    pack.main(pack.arguments().parse_args(options(raw, out, **changes)))
    with (out / "x.images.csv").open() as file:
        return json.loads((out / "x.manifest.json").read_text()), list(csv.DictReader(file))


@pytest.fixture(scope="module")
def val(raw, tmp_path_factory) -> tuple[Path, dict, list[dict[str, str]]]:
    out = tmp_path_factory.mktemp("val")
    return out, *run(raw, out)


def test_an_index_that_lost_rows_is_not_packed(raw, tmp_path):
    for name in ("source.json", "index.csv", "digits.tar"):
        (tmp_path / name).write_bytes((raw / name).read_bytes())
    lines = (tmp_path / "index.csv").read_text().splitlines(keepends=True)
    (tmp_path / "index.csv").write_text("".join(lines[:-300]))
    with pytest.raises(DamagedError, match=r"index\.csv lists 1497 of 1797 images"):
        run(tmp_path, tmp_path)
    assert not (tmp_path / "x.beton").exists()


def test_the_manifest_states_what_is_in_the_file(val):
    out, manifest, _ = val
    assert manifest["num_images"] == 355
    assert manifest["split"] == "val"
    assert manifest["classes"] == [str(label) for label in range(10)]
    assert manifest["counts"]["8"] == 34
    assert manifest["spec"] == {"data": "digits", "encoding": "raw", "short_side_px": 91, "upscale": True}
    assert manifest["stored"] == {"passed_through": 0, "encoded": 0, "raw": 355}
    assert manifest["stored_bytes"] == {"min": 24843, "max": 24843, "mean": 24843.0}
    assert manifest["content_sha256"] == content_sha256(out / "x.beton")
    assert manifest["bad_images"] == {}


def test_grey_images_have_one_mean_in_three_channels(val):
    _, manifest, _ = val
    assert len(set(manifest["mean"])) == len(set(manifest["std"])) == 1
    assert 70 < manifest["mean"][0] < 85  # scikit-learn's mean is 4.88 of 16
    assert manifest["num_measured"] == 355
    assert manifest["eigenvalues"] == pytest.approx([3 * manifest["std"][0] ** 2, 0, 0], abs=1e-9)
    assert manifest["eigenvectors"][0] == pytest.approx([3**-0.5] * 3)


def test_the_mean_image_is_that_of_the_packed_images(val):
    out, _, _ = val
    opened, mean = open_packed(out / "x.beton"), np.load(out / "x.mean_image.npy")
    images = [opened.payload(opened.mapped(), place).reshape(91, 91, 3) for place in range(opened.num_images)]
    assert mean.dtype == np.float32
    assert np.array_equal(mean, np.mean(images, axis=0, dtype=np.float64).astype(np.float32))


def test_a_shuffled_form_holds_the_same_images_in_another_order(raw, val, tmp_path):
    _, manifest, images = val
    shuffled, rows = run(raw, tmp_path, form=DIGITS.model_copy(update={"order": "shuffled"}))
    names = [row["name"] for row in rows]
    assert sorted(names) == sorted(row["name"] for row in images)
    assert len({name.split("/")[0] for name in names[:40]}) >= 8  # of ten classes
    for same in ("num_images", "counts", "mean", "std", "eigenvalues"):
        assert shuffled[same] == manifest[same]


def test_images_are_listed_by_their_place_in_the_file(val):
    out, _, images = val
    labels = open_packed(out / "x.beton").labels.tolist()
    assert [int(row["index"]) for row in images] == list(range(355))
    assert [int(row["label"]) for row in images] == labels
    assert all(row["name"].startswith(f"{row['label_name']}/") for row in images)
    assert {(row["width"], row["height"]) for row in images} == {("91", "91")}


@pytest.mark.parametrize("same", [True, False])
def test_what_another_process_packed_meanwhile_is_not_packed_again(raw, val, tmp_path, capsys, same: bool):
    """Two clones that share their data."""
    held = locks.try_lock(tmp_path / "x.lock")
    (tmp_path / "x.lock").write_text("4711")
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(
            run, raw, tmp_path, form=DIGITS if same else DIGITS.model_copy(update={"order": "shuffled"})
        )
        while "waiting for it" not in (said := capsys.readouterr().err):
            assert not waiting.done()
        for path in val[0].glob("x.*[!k]"):
            shutil.copy(path, tmp_path)
        before = (tmp_path / "x.beton").stat().st_ino
        held.release()
        waiting.result()
    assert f"process 4711 makes {tmp_path}/x.beton: waiting for it" in said
    assert ("packed val: another process did, just now" in capsys.readouterr().err) == same
    assert ((tmp_path / "x.beton").stat().st_ino == before) == same


def test_every_output_is_the_same_at_another_place_with_more_workers(raw, val, tmp_path):
    out = val[0]
    run(raw, tmp_path, workers=3)
    names = ["x.beton", "x.checksums.npz", "x.images.csv", "x.lock", "x.manifest.json", "x.mean_image.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (out / path.name).read_bytes()


def test_outputs_are_the_same_where_every_image_is_compared_once_more(raw, val, tmp_path):
    run(raw, tmp_path, form=PackSpec(**DIGITS.model_dump(), compare=True), workers=2)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (val[0] / path.name).read_bytes()


def test_the_closing_line_states_rate_and_size(raw, tmp_path, capsys):
    run(raw, tmp_path)
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"packed val: 355 images, \d+ images/s, 8\.8 MB \(355 raw\)", line)


def broken_folder(root: Path) -> tuple[Path, Path]:
    raw, mine = root / "raw", root / "mine"
    for name in ("train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "val/b/4.jpg"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_bytes(b"<html>not here</html>")
    spec = SourceSpec(dataset="folder", options={"path": str(mine)})
    acquire(AcquireJob(spec, raw / "source.json", raw / "index.csv"))
    return raw, mine


def test_a_broken_image_ends_the_stage_with_its_name(tmp_path):
    raw, _ = broken_folder(tmp_path)
    command = [sys.executable, "-m", "ilsvrc.stages.pack", *options(raw, tmp_path, FormSpec(data="mine"))]
    ended = subprocess.run([*command, "--log", "pack.log"], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1
    assert "error: 2 of 2 images cannot be packed:\n  val/a/3.jpg: not a picture" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.glob("x.*")] == ["x.lock"]


def test_skipped_images_are_in_the_manifest(tmp_path):
    raw, mine = broken_folder(tmp_path)
    Image.new("RGB", (20, 10)).save(mine / "val/a/3.jpg")
    spec = SourceSpec(dataset="folder", options={"path": str(mine)})
    acquire(AcquireJob(spec, raw / "source.json", raw / "index.csv"))
    manifest, images = run(raw, tmp_path, form=FormSpec(data="mine", on_bad_image="skip"))
    assert [row["name"] for row in images] == ["a/3.jpg"]
    assert manifest["counts"] == {"a": 1, "b": 0}
    assert list(manifest["bad_images"]) == ["b/4.jpg"]


def test_a_class_without_an_image_to_train_on_is_refused(tmp_path):
    raw, mine = broken_folder(tmp_path)
    Image.new("RGB", (20, 10)).save(mine / "train/a/1.jpg")
    spec = SourceSpec(dataset="folder", options={"path": str(mine)})
    acquire(AcquireJob(spec, raw / "source.json", raw / "index.csv"))
    with pytest.raises(ValueError, match=r"train: no image of 'b' can be read, .*b/2\.jpg .*: not a picture"):
        run(raw, tmp_path, form=FormSpec(data="mine", on_bad_image="skip"), split="train")
    assert not (tmp_path / "x.beton").exists()
