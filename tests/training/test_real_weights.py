"""Weights of CIFAR-10 that somebody else trained, read as they were published and tested on a lossy copy of the images.

Published errors, of the lossless images: ResNet-20 8.27 %, ResNet-56 6.61 %. On the lossy copy the authors' own code
errs 18.97 and 16.80 %; shortcuts with all zeros behind, of the same names and shapes, 86.40 and 90.67 %.
"""

import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ilsvrc.artifacts import run_files
from ilsvrc.config import pretrained, runs, specs
from ilsvrc.datasets._card import Sample
from ilsvrc.evaluation import predict_split, predictions
from ilsvrc.packing import manifest as manifests
from ilsvrc.packing.writer import pack
from ilsvrc.training import import_run
from ilsvrc.training.job import Outputs

FILES = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}
FORM = specs.FormSpec(data="cifar10")


def pack_test_images(archive: Path, a_class: int, folder: Path) -> list[str]:
    """Packs the first images of each class of the test split; their classes."""
    samples, taken = [], Counter[str]()
    with tarfile.open(archive) as tar:
        for member in tar:
            split, label = Path(member.name).parts[1:3] if member.isfile() else ("", "")
            if split in ("val", "test") and taken[label] < a_class:
                taken[label] += 1
                samples.append(Sample("val", label, member.name, archive.name, member.offset_data, member.size))
    classes = sorted(taken)
    labels = {name: place for place, name in enumerate(classes)}
    packing = pack(samples, labels, archive.parent, FORM, folder / "val.beton", 1)
    manifests.describe(FORM, "val", classes, packing, samples).write(folder / "val.manifest.json")
    (folder / "val.images.csv").write_text("name\n" + "".join(f"{sample.name}\n" for sample in samples))
    return classes


def error_percent(shared_data: Path, depth: int, a_class: int, folder: Path) -> float:
    """Error of the published weights, on so many test images of each class."""
    pack_test_images(shared_data / "cifar10.tar", a_class, folder)
    with tarfile.open(shared_data / "cifar_resnet_weights.tar") as tar:
        tar.extractall(folder, filter="data")
    (file,) = folder.rglob(FILES[depth])
    described = pretrained.describe(f"resnet{depth}_cifar_split_padding", pretrained.Weights(source=str(file)))
    run = runs.Run(
        recipe_name=described.name, changes={},
        spec=specs.ImportSpec(form=FORM, architecture=described.architecture, **described.fields),
    )  # fmt: skip
    at, manifest, output = run_files.RUNS / run.name, folder / "val.manifest.json", Path("whole.npz")
    outputs = Outputs(*(at / name for name in ("weights.safetensors", "weights.json", "history.csv", "run.json")))
    import_run.import_run(import_run.ImportJob(run.spec, run.name, file, manifest, outputs, Path("work")))
    job = predict_split.PredictJob(
        run=run.name, weights=outputs.weights, weights_info=outputs.weights_info, val=folder / "val.beton",
        val_manifest=manifest, images=folder / "val.images.csv", output=[output], precision="float32", loader="pillow",
    )  # fmt: skip
    predict_split.predict_split(job)
    found = predictions.read_prediction(output)
    return float(100 * np.mean(found.probabilities.argmax(1) != found.labels))


@pytest.mark.parametrize(
    ("depth", "a_class", "expected"),
    [
        (20, 50, 20.2),
        pytest.param(20, 1000, 18.97, marks=pytest.mark.slow),
        pytest.param(56, 1000, 16.80, marks=pytest.mark.slow),
    ],
)
def test_weights_from_elsewhere_err_as_in_their_authors_code(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int, a_class: int, expected: float
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(import_run, "track", lambda *given: None)  # seconds
    error = error_percent(shared_data, depth, a_class, tmp_path)
    assert error == pytest.approx(expected, abs=100 / (10 * a_class))  # an image on the border may go either way
