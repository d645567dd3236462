"""Predictions of a packed split by a network whose answers are known."""

import hashlib
import io
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fake_results
import numpy as np
import pytest
import records
import sockets
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import registry, runs, specs
from ilsvrc.datasets._card import Sample
from ilsvrc.evaluation import predict_split, prediction_file, predictions
from ilsvrc.evaluation.predict_split import PredictJob
from ilsvrc.evaluation.predictor import protocol_views
from ilsvrc.loading.views import view_box
from ilsvrc.models.common.layers import Classifier, FixedFlatten
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.models.resnet_cifar import resnet_cifar
from ilsvrc.packing import manifest as manifests
from ilsvrc.packing.writer import pack
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.files import DamagedError, file_sha256, read_json
from ilsvrc.stages import predict as predict_stage

BRIGHT_LEFT, BRIGHT_RIGHT = 0, 1
PICTURES = {"a/left.png": BRIGHT_LEFT, "a/other_left.png": BRIGHT_LEFT, "b/right.png": BRIGHT_RIGHT}


class Sides(Classifier):
    """Logits: `scale` times the mean of the left half, and of the right half."""

    def __init__(self, num_classes: int, input_px: int) -> None:
        super().__init__()
        assert num_classes == 2
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        half = images.shape[3] // 2
        return self.scale * torch.stack([images[..., :half].mean((1, 2, 3)), images[..., half:].mean((1, 2, 3))], 1)


def picture(bright: int) -> bytes:
    """91 x 91, one half white."""
    pixels = np.zeros((91, 91, 3), np.uint8)
    pixels[:, slice(0, 45) if bright == BRIGHT_LEFT else slice(46, 91)] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, packed as a test split."""
    folder, samples, at = tmp_path_factory.mktemp("packed"), [], 0
    with (folder / "archive").open("wb") as archive:
        for name, bright in PICTURES.items():
            content = picture(bright)
            samples.append(Sample("val", name[0], name, "archive", at, archive.write(content)))
            at += len(content)
    packing = pack(samples, {"a": 0, "b": 1}, folder, fake_results.FORM, folder / "val.beton", 1)
    manifest = manifests.describe(fake_results.FORM, "val", ["a", "b"], packing, samples)
    manifest.write(folder / "val.manifest.json")
    manifests.write_images(folder / "val.images.csv", packing, samples)
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runs.Run:
    """A trained run: scale 4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "architecture", lambda name: Sides)
    run = fake_results.run()
    folder = run_files.RUNS / run.name
    folder.mkdir(parents=True)
    save_file({"scale": torch.tensor([4.0])}, folder / "weights.safetensors")
    info = {
        "key": specs.key8(run.spec), "spec": json.loads(specs.specification(run.spec)), "crop_px": 80,
        "weights_sha256": hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest(),
        "manifest_sha256": "0", "mean": [0.0] * 3, "std": [255.0] * 3, "num_classes": 2, "classes": ["a", "b"],
    }  # fmt: skip
    (folder / "weights.json").write_text(json.dumps(info))
    return run


def job(trained: runs.Run, packed: Path, *protocols: str, **changes: Any) -> PredictJob:
    folder = run_files.RUNS / trained.name
    given: dict[str, Any] = {
        "run": trained.name, "weights": folder / "weights.safetensors", "weights_info": folder / "weights.json",
        "val": packed / "val.beton", "val_manifest": packed / "val.manifest.json", "images": packed / "val.images.csv",
        "output": [prediction_file.prediction_file(trained.name, protocol) for protocol in protocols],
        "precision": "float32", "loader": "pillow", **changes,
    }  # fmt: skip
    return PredictJob(**given)


def test_each_protocol_gets_its_file(run: runs.Run, packed: Path, capsys: pytest.CaptureFixture) -> None:
    asked = job(run, packed, "single_crop", "ten_crop")
    words = [f"--{key.replace('_', '-')}={value}" for key, value in vars(asked).items() if value and key != "output"]
    predict_stage.main(predict_stage.arguments().parse_args([*words, "--output", *map(str, asked.output)]))
    single, ten = (
        predictions.read_prediction(prediction_file.prediction_file(run.name, name))
        for name in ("single_crop", "ten_crop")
    )
    assert single.images.tolist() == list(PICTURES)
    assert single.labels.tolist() == [0, 0, 1]
    # The central 80 columns are 5 to 84: their left half is white, their right half black: logits 4 and 0.
    assert single.probabilities[:2, 0].tolist() == pytest.approx([1 / (1 + np.exp(-4))] * 2, rel=1e-5)
    # Mirrored views say the opposite: their mean has no opinion.
    assert ten.probabilities.tolist() == [pytest.approx([0.5, 0.5], abs=0.02)] * 3
    assert single.probabilities.dtype == np.float32
    assert "3 images of 10 views" in capsys.readouterr().err


def test_predictions_are_accepted_by_the_scores_check(run: runs.Run, packed: Path) -> None:
    predict_split.predict_split(job(run, packed, "ten_crop"))
    found = predictions.read_prediction(prediction_file.prediction_file(run.name, "ten_crop"))
    weights = WeightsInfo.read(run_files.RUNS / run.name / "weights.json")
    predictions.check_prediction(run.name, "ten_crop", found, weights)
    manifest = json.loads((packed / "val.manifest.json").read_text())
    assert found.spec["manifest_sha256"] == manifest["content_sha256"]


def test_predicting_twice_gives_the_same_bytes(run: runs.Run, packed: Path) -> None:
    path = prediction_file.prediction_file(run.name, "ten_crop")
    predict_split.predict_split(job(run, packed, "ten_crop"))
    first = path.read_bytes()
    predict_split.predict_split(job(run, packed, "ten_crop"))
    assert path.read_bytes() == first


def written(trained: runs.Run, *protocols: str) -> list[int]:
    """The files' inode numbers: a file that is written again is a new one."""
    return [prediction_file.prediction_file(trained.name, protocol).stat().st_ino for protocol in protocols]


def test_a_protocol_added_later_is_predicted_alone(run: runs.Run, packed: Path) -> None:
    predict_split.predict_split(job(run, packed, "single_crop"))
    (before,) = written(run, "single_crop")
    done = predict_split.predict_split(job(run, packed, "single_crop", "ten_crop"))
    assert (done.protocols, done.kept) == (("ten_crop",), ("single_crop",))
    assert done.line().endswith("images/s; single_crop kept as it was")
    assert written(run, "single_crop") == [before]


@pytest.mark.parametrize("field", ["revision", "weights_sha256", "manifest_sha256"])
def test_predictions_of_another_specification_are_made_again(run: runs.Run, packed: Path, field: str) -> None:
    predict_split.predict_split(job(run, packed, "single_crop", "ten_crop"))
    path = prediction_file.prediction_file(run.name, "single_crop")
    found = predictions.read_prediction(path)
    predictions.write_prediction(path, found._replace(spec=dict(found.spec) | {field: "another"}))
    assert predict_split.predict_split(job(run, packed, "single_crop", "ten_crop")).protocols == ("single_crop",)


def test_a_damaged_prediction_is_made_again_alone(run: runs.Run, packed: Path) -> None:
    predict_split.predict_split(job(run, packed, "single_crop", "ten_crop"))
    path = prediction_file.prediction_file(run.name, "ten_crop")
    path.write_bytes(path.read_bytes()[:300])
    assert predict_split.predict_split(job(run, packed, "single_crop", "ten_crop")).protocols == ("ten_crop",)


def test_where_all_predictions_are_there_a_forced_job_makes_all_again(run: runs.Run, packed: Path) -> None:
    both = job(run, packed, "single_crop", "ten_crop")
    predict_split.predict_split(both)
    before = written(run, "single_crop", "ten_crop")
    assert predict_split.predict_split(both).protocols == ("single_crop", "ten_crop")
    assert all(now != then for now, then in zip(written(run, "single_crop", "ten_crop"), before, strict=True))


def test_weights_of_another_run_are_refused(run: runs.Run, packed: Path) -> None:
    with pytest.raises(ValueError, match="of another run"):
        predict_split.predict_split(job(run, packed, "ten_crop", run=fake_results.run(seed=1).name))


def test_weights_with_other_bytes_are_refused(run: runs.Run, packed: Path) -> None:
    save_file({"scale": torch.tensor([5.0])}, run_files.RUNS / run.name / "weights.safetensors")
    with pytest.raises(ValueError, match=r"weights\.safetensors is not the file"):
        predict_split.predict_split(job(run, packed, "ten_crop"))


@pytest.fixture
def of_sets(run: runs.Run, packed: Path, tmp_path: Path) -> Path:
    """The manifest of the same pictures where labels number sets: 0 is {b}, 1 is {a, b}; a network trained on them."""
    manifest = json.loads((packed / "val.manifest.json").read_text()) | {"label_sets": [[1], [0, 1]]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    info = run_files.RUNS / run.name / "weights.json"
    of_these = {"label_sets_sha256": Manifest.parse(manifest, Path("manifest.json")).label_sets_sha256}
    info.write_text(json.dumps(read_json(info) | of_these))
    return tmp_path / "manifest.json"


def test_sets_of_classes_are_predicted_by_a_sigmoid_for_each_class(run: runs.Run, packed: Path, of_sets: Path) -> None:
    predict_split.predict_split(job(run, packed, "single_crop", "ten_crop", val_manifest=of_sets))
    single, ten = (
        predictions.read_prediction(prediction_file.prediction_file(run.name, name))
        for name in ("single_crop", "ten_crop")
    )
    assert single.labels.tolist() == [[0, 1], [0, 1], [1, 1]]
    # Logits 4 and 0 as above.
    assert single.probabilities[0].tolist() == pytest.approx([1 / (1 + np.exp(-4)), 0.5], rel=1e-5)
    # Logits (4, 0) in the centre, (4, 0.5) in the left corners, (3.4, 0) in the right ones, and mirrored: their mean.
    assert ten.probabilities[0].tolist() == pytest.approx([0.7627] * 2, abs=2e-4)


def test_a_split_that_numbers_other_sets_is_refused(run: runs.Run, packed: Path, of_sets: Path) -> None:
    manifest = json.loads(of_sets.read_text())
    for other in ({"label_sets": [[0], [0, 1]]}, {"label_sets": None}):
        changed = {key: value for key, value in (manifest | other).items() if value is not None}
        of_sets.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=r"manifest\.json numbers other sets of classes than the run"):
            predict_split.predict_split(job(run, packed, "ten_crop", val_manifest=of_sets))


OTHER_DATA = {"spec": {"data": "letters"}, "data": ""}


@pytest.mark.parametrize("change", [OTHER_DATA, {"split": "train"}, {"classes": ["b", "a"]}])
def test_a_split_that_the_run_was_not_trained_for_is_refused(
    change: dict, run: runs.Run, packed: Path, tmp_path: Path
) -> None:
    manifest = json.loads((packed / "val.manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(ValueError, match=f"{list(change)[-1]} of .*manifest.json is not what the run was trained"):
        predict_split.predict_split(job(run, packed, "ten_crop", val_manifest=tmp_path / "manifest.json"))


def test_an_output_of_no_protocol_is_refused(run: runs.Run, packed: Path) -> None:
    with pytest.raises(ValueError, match="no test protocol is called 'eleven_crop'"):
        predict_split.predict_split(job(run, packed, "eleven_crop"))


@pytest.mark.parametrize(
    ("recipes", "machines", "expected"), [("auto", "bfloat16", "bfloat16"), ("float32", "bfloat16", "float32")]
)
def test_a_recipes_precision_goes_before_the_machines(recipes: str, machines: str, expected: str) -> None:
    spec = fake_results.run(swept={"precision": recipes}).spec
    weights = records.weights_info(spec=json.loads(specs.specification(spec)))
    assert predict_split.requested_precision(weights, machines) == expected


def test_a_jobs_gpu_is_the_only_one_that_cuda_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert predict_split.chosen_device(["3"]) == torch.device("cuda")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


class Fixed(Classifier):
    """Convolution, then linear layers that know one size."""

    def __init__(self, num_classes: int, input_px: int) -> None:
        super().__init__()
        side = (input_px - 8) // 8 + 1
        self.convolution = torch.nn.Conv2d(3, 4, 8, stride=8)
        self.flatten = FixedFlatten(side, input_px)
        self.classifier = torch.nn.Linear(4 * side**2, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.flatten(self.convolution(images).relu()))


class Pooled(Classifier):
    """Convolution, the mean over all of the map, a linear layer."""

    def __init__(self, num_classes: int, input_px: int) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 8, stride=8)
        self.classifier = torch.nn.Linear(4, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.convolution(images).relu().mean((2, 3)))


SIZES = ((120, 96), (91, 130), (60, 75))


def pictures() -> list[Image.Image]:
    """Smooth pictures, one of them smaller than every crop."""
    random = np.random.default_rng(0)
    coarse = [Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8)) for _ in SIZES]
    return [one.resize(size, Image.Resampling.BICUBIC) for one, size in zip(coarse, SIZES, strict=True)]


def trained(
    make: Callable[..., Classifier], folder: Path, monkeypatch: pytest.MonkeyPatch, architecture: str = "vgg_a",
    **recipe: Any,
) -> runs.Run:  # fmt: skip
    """A run of `make` with random weights, and its test split in `folder`."""
    torch.manual_seed(0)
    network = make(num_classes=3, input_px=80)
    if hasattr(network, "classifier"):
        network.classifier.weight.data *= 30  # far apart, so that an average of logits is none of probabilities
    monkeypatch.chdir(folder)
    monkeypatch.setattr(registry, "architecture", lambda name: make)
    samples, at = [], 0
    with (folder / "archive").open("wb") as archive:
        for number, one in enumerate(pictures()):
            content = io.BytesIO()
            one.save(content, "PNG")
            size = archive.write(content.getvalue())
            samples.append(Sample("val", str(number % 3), f"{number}.png", "archive", at, size))
            at += size
    form = specs.FormSpec(data="digits", encoding="raw")
    packing = pack(samples, {"0": 0, "1": 1, "2": 2}, folder, form, folder / "val.beton", 1)
    manifest = manifests.describe(form, "val", ["0", "1", "2"], packing, samples)
    manifest.write(folder / "val.manifest.json")
    manifests.write_images(folder / "val.images.csv", packing, samples)
    run = fake_results.run(architecture, swept=recipe)
    weights = run_files.RUNS / run.name / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    save_file(network.state_dict(), weights)
    info = {
        "key": specs.key8(run.spec), "spec": json.loads(specs.specification(run.spec)), "crop_px": 80,
        "weights_sha256": file_sha256(weights), "manifest_sha256": "0", "mean": [100.0] * 3, "std": [50.0] * 3,
        "num_classes": 3, "classes": ["0", "1", "2"],
    }  # fmt: skip
    (weights.parent / "weights.json").write_text(json.dumps(info))
    return run


def by_hand(
    run: runs.Run, make: type[Classifier], protocol: str, train_short_sides_px: tuple[int, int] | None
) -> np.ndarray:
    """A protocol's probabilities, a picture and a view at a time: Pillow, the network, the mean."""
    network = make(num_classes=3, input_px=80)
    network.load_state_dict(load_file(run_files.RUNS / run.name / "weights.safetensors"))
    network.eval()
    module, rows = registry.load("protocols", protocol), []
    for picture in pictures():
        found = []
        for view in protocol_views(module, 80, train_short_sides_px):
            width, height, left, top, part_width, part_height, *shown = view_box(view, *picture.size)
            kind = {"bilinear": Image.Resampling.BILINEAR, "cubic": Image.Resampling.BICUBIC}[view.interpolation]
            part = picture.resize((width, height), kind).crop((left, top, left + part_width, top + part_height))
            pixels = np.asarray(part.resize(tuple(shown), kind))
            pixels = pixels[:, ::-1] if view.mirrored else pixels
            images = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() - 100) / 50
            found.append(slid(network, images) if view.crop_px is None else network(images)[0])
        rows.append(torch.stack(found).softmax(dim=1).mean(dim=0).detach().numpy())
    return np.stack(rows)


def slid(network: Classifier, images: torch.Tensor) -> torch.Tensor:
    """The mean of the scores of all crops that lie at steps of the network's stride."""
    maps = network.convolution(images).relu()
    crops = [maps[:, :, y : y + 10, x : x + 10] for y in range(maps.shape[2] - 9) for x in range(maps.shape[3] - 9)]
    return torch.cat([network.classifier(crop.flatten(1)) for crop in crops]).mean(dim=0)


EVERY = [name for name in registry.names("protocols") if name not in ("single_crop_320", "whole")]


def test_every_protocol_is_what_pillow_and_the_network_give_picture_by_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(Fixed, tmp_path, monkeypatch, short_side_px=(90, 120))
    expected = {protocol: by_hand(run, Fixed, protocol, (90, 120)) for protocol in EVERY}
    for loader in ("pillow", "ffcv"):
        predict_split.predict_split(job(run, tmp_path, *EVERY, loader=loader))
        for protocol in EVERY:
            found = predictions.read_prediction(prediction_file.prediction_file(run.name, protocol))
            assert found.labels.tolist() == [0, 1, 2]
            np.testing.assert_allclose(found.probabilities, expected[protocol], atol=2e-5)


def test_a_pooled_network_takes_larger_crops_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(Pooled, tmp_path, monkeypatch)
    predict_split.predict_split(job(run, tmp_path, "single_crop_320", "whole", "ten_crop"))
    for protocol in ("single_crop_320", "whole", "ten_crop"):
        found = predictions.read_prediction(prediction_file.prediction_file(run.name, protocol))
        np.testing.assert_allclose(found.probabilities, by_hand(run, Pooled, protocol, None), atol=2e-5)


def test_a_protocol_added_later_gives_what_it_gives_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(Fixed, tmp_path, monkeypatch)
    predict_split.predict_split(job(run, tmp_path, "ten_crop", "vgg_dense"))
    together = predictions.read_prediction(prediction_file.prediction_file(run.name, "ten_crop"))
    predict_split.predict_split(job(run, tmp_path, "ten_crop"))
    alone = predictions.read_prediction(prediction_file.prediction_file(run.name, "ten_crop"))
    np.testing.assert_allclose(alone.probabilities, together.probabilities, atol=1e-6)


def test_a_fixed_network_says_why_it_takes_no_larger_crop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(Fixed, tmp_path, monkeypatch)
    with pytest.raises(
        ValueError, match=r"vgg_a cannot be tested by single_crop_320: .*80 px only, not of 114 px; .*ten_crop"
    ):
        predict_split.predict_split(job(run, tmp_path, "ten_crop", "single_crop_320"))
    assert not prediction_file.prediction_file(run.name, "ten_crop").exists()


def test_a_network_without_a_dense_form_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(Pooled, tmp_path, monkeypatch)  # nothing in it says how it leaves its map
    with pytest.raises(ValueError, match=r"vgg_a cannot be tested by vgg_dense: .*; protocols: .* ten_crop"):
        predict_split.predict_split(job(run, tmp_path, "vgg_dense"))


def test_a_mean_images_mean_is_subtracted_from_what_it_does_not_cover() -> None:
    image = torch.arange(12.0).view(2, 2, 3)
    flat = Normalization([0.0] * 3, [1.0] * 3, "mean_image", image).of_any_size()
    assert flat(torch.full((1, 3, 4, 3), 10, dtype=torch.uint8))[0, :, 2, 3].tolist() == [5.5, 4.5, 3.5]
    plain = Normalization([1.0] * 3, [1.0] * 3, "mean")
    assert plain.of_any_size() is plain


def of_each_process(given: PredictJob, processes: int) -> dict[str, np.ndarray]:
    """Probabilities of the batches that each of several processes would pass, one after another in this one."""
    rows = {name: np.empty((len(SIZES), 3), np.float32) for name in given.protocols}
    for rank in range(processes):
        predict_split.forward(given, rows, World(rank, processes, torch.device("cpu")))
    return rows


def test_two_processes_write_what_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They see the network by its name."""
    run = trained(partial(resnet_cifar, 20), tmp_path, monkeypatch, architecture="resnet20_cifar")
    monkeypatch.undo()  # of the architectures' names
    monkeypatch.chdir(tmp_path)
    predict_split.predict_split(job(run, tmp_path, "flip", "ten_crop"))
    files = [prediction_file.prediction_file(run.name, protocol) for protocol in ("flip", "ten_crop")]
    alone = [predictions.read_prediction(path) for path in files]
    with sockets.watched() as heard:
        predict_split.predict_split(job(run, tmp_path, "flip", "ten_crop", processes=2, threads=2))
    assert not heard  # they share files
    shares = of_each_process(job(run, tmp_path, "flip", "ten_crop"), processes=2)
    for path, expected in zip(files, alone, strict=True):
        found = predictions.read_prediction(path)
        assert (found.images.tolist(), found.labels.tolist()) == (expected.images.tolist(), expected.labels.tolist())
        assert found.spec == expected.spec
        assert found.probabilities is not None
        assert found.probabilities.tobytes() == shares[path.stem].tobytes()
        # MKL rounds a row of the linear layer by the number of rows, which differs between one process and two; with
        # MKL_CBWR=AVX2,STRICT it does not.
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["flip.npz", "ten_crop.npz"]


def test_what_goes_wrong_in_several_processes_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(partial(resnet_cifar, 20), tmp_path, monkeypatch, architecture="resnet20_cifar")
    save_file({"scale": torch.zeros(1)}, run_files.RUNS / run.name / "weights.safetensors")
    two = job(run, tmp_path, "flip", processes=2, threads=2)
    with pytest.raises(DamagedError):
        predict_split.predict_split(two)
    monkeypatch.setattr(predict_split.load_network, "require_whole", lambda weights, path: None)  # not in its workers
    with pytest.raises(
        ValueError, match=r"^\S*weights\.safetensors is not the file that weights\.json describes[^\n]*$"
    ):
        predict_split.predict_split(two)
    assert not list(prediction_file.prediction_file(run.name, "flip").parent.iterdir())
