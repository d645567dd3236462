"""Classification of single images, by networks and ensembles, and finding the run that a person means."""

import io
import json
from pathlib import Path

import fake_results
import numpy as np
import pytest
import torch
from commands import run_verb
from PIL import Image

from ilsvrc.artifacts import find_run, run_files
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import params, registry, runs, specs
from ilsvrc.evaluation import classify, ensembles, load_network, prediction_file, predictions, task
from ilsvrc.evaluation.predictor import Predictor
from ilsvrc.evaluation.protocols import single_crop
from ilsvrc.runtime.files import read_json

NUM_CLASSES = len(fake_results.CLASSES)


class Redness(torch.nn.Module):
    """The redder the picture, the higher the last class."""

    shift = 0.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0].mean((1, 2))[:, None] * torch.arange(NUM_CLASSES) + self.shift


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    fake_results.write_run(fake_results.run())
    network = Predictor(Redness(), lambda images: images.permute(0, 3, 1, 2) / 255)
    monkeypatch.setattr(load_network, "predictor", lambda *given: network)
    Image.new("RGB", (120, 100), "red").save("red.png")
    return tmp_path


def run_classify(*given: str) -> None:
    run_verb("classify", "resnet18", *given)


def test_five_guesses_with_probabilities_as_a_table(capsys: pytest.CaptureFixture) -> None:
    run_classify("red.png")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{fake_results.run().name}, single_crop"
    assert lines[2] == "red.png"
    # softmax of 0 to 5.
    assert [line.split()[:2] for line in lines[3:]] == [
        ["5", "63.4"], ["4", "23.3"], ["3", "8.6"], ["2", "3.2"], ["1", "1.2"],
    ]  # fmt: skip


def test_of_a_multi_label_network_all_classes_above_a_fifth_are_listed(capsys: pytest.CaptureFixture) -> None:
    multilabel(fake_results.run())
    network = load_network.predictor()
    network.activation, network.network.shift = torch.sigmoid, -4
    run_classify("red.png")
    # Sigmoids of 1, 0, -1, -2 and less.
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[3:]] == [
        ["5", "73.1"], ["4", "50.0"], ["3", "26.9"],
    ]  # fmt: skip
    network.network.shift = -20
    run_classify("red.png")
    assert capsys.readouterr().out.splitlines()[3:] == ["  no class above 20 %"]


def multilabel(run: runs.Run) -> None:
    """Makes the run's network one of a multi-label task."""
    path = run_files.RUNS / run.name / "weights.json"
    path.write_text(json.dumps(read_json(path) | {"label_sets_sha256": "0a"}))


@pytest.mark.parametrize("protocol", registry.names("protocols"))
def test_json_holds_an_object_a_picture(protocol: str, capsys: pytest.CaptureFixture) -> None:
    run_classify("red.png", "red.png", "--json", "--protocol", protocol)
    (only,) = json.loads(capsys.readouterr().out)
    assert only["protocol"] == protocol
    assert only["guesses"][0] == {"class": "5", "probability": pytest.approx(0.6336914, rel=1e-4)}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pictures_of_every_mode_are_shown_in_rgb(mode: str) -> None:
    picture = Image.new("L", (120, 100), 255)
    picture = Image.new("I;16", (120, 100), 65535) if mode == "I;16" else picture.convert(mode)
    content = io.BytesIO()
    picture.save(content, "TIFF" if mode in ("CMYK", "I;16") else "PNG")
    (shown,) = classify.decoded(content.getvalue(), fake_results.FORM, single_crop.views(80))
    assert shown.pixels.shape == (1, 80, 80, 3)
    assert (shown.pixels == 255).all()


def test_pixels_are_those_of_a_packed_jpeg() -> None:
    generator = np.random.default_rng(0)
    picture = Image.fromarray(generator.integers(0, 256, (100, 133, 3), dtype=np.uint8)).resize((260, 200))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=90)
    form = specs.FormSpec(data="photographs")  # as it came
    (only,) = classify.decoded(content.getvalue(), form, single_crop.views(80))
    shown = only.pixels[0].numpy()
    resized = Image.open(content).resize((91 * 260 // 200, 91), Image.Resampling.BILINEAR)  # 118 x 91
    assert (shown == np.asarray(resized.crop((18, 5, 98, 85)))).all()


def test_a_broken_picture_is_named_after_the_others(capsys: pytest.CaptureFixture) -> None:
    Path("broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.jpg: not a picture.*\n.*absent\.jpg: No such file"):
        run_classify("broken.jpg", "red.png", "absent.jpg")
    assert "red.png" in capsys.readouterr().out


ENSEMBLES = """
dataset: digits
architectures: [resnet18]
recipe: quick
seeds: [0, 1]
protocols: [single_crop, flip]
ensembles: {both: [resnet18], geometric: {members: [resnet18], average: log_probabilities, together: true}}
"""


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> list[runs.Run]:
    """Two runs of an ensemble, whose networks differ."""
    Path("params.yaml").write_text(ENSEMBLES)
    members = runs.expand(params.load())
    for place, run in enumerate(members):
        fake_results.write_run(run)
        (run_files.RUNS / run.name / "weights.safetensors").write_text(str(place))

    def predictor(weights: WeightsInfo, path: Path, *given: object) -> Predictor:
        network = Redness()
        network.shift = int(path.read_text()) * torch.arange(NUM_CLASSES).flip(0)
        activation = task.from_weights(weights).activation
        return Predictor(network, lambda images: images.permute(0, 3, 1, 2) / 255, activation=activation)

    monkeypatch.setattr(load_network, "predictor", predictor)
    return members


def kept_average(members: list[runs.Run], protocols: list[str], average: str) -> np.ndarray:
    """The probabilities `[K]` of red.png that `ensembles` averages of kept predictions."""
    paths = []
    for run in members:
        for protocol in protocols:
            member = classify.load_member(run.name, [protocol])
            (found,) = classify.probabilities_by_protocol(member, Path("red.png").read_bytes(), [protocol])
            targets = np.zeros((1, NUM_CLASSES), np.uint8) if member.weights.is_multilabel else np.zeros(1, np.int64)
            paths.append(prediction_file.prediction_file(run.name, protocol))
            kept = predictions.keep(found[None], targets, np.array(["red.png"]), {"classes": fake_results.CLASSES})
            predictions.write_prediction(paths[-1], kept)
    combined = ensembles.combine(paths, average)
    if combined.probabilities is not None:  # of a multi-label task
        return combined.probabilities[0]
    found = np.zeros(NUM_CLASSES, np.float32)
    found[combined.guesses[0]] = combined.guess_probabilities[0]
    return found


@pytest.mark.parametrize("is_multilabel", [False, True])
@pytest.mark.parametrize(
    ("name", "protocols", "average"),
    [("both", ["single_crop"], "probabilities"), ("geometric", ["single_crop", "flip"], "log_probabilities")],
)
def test_an_ensemble_averages_as_it_does_of_kept_predictions(
    name: str, protocols: list[str], average: str, is_multilabel: bool, members: list[runs.Run]
) -> None:
    if is_multilabel:
        for run in members:
            multilabel(run)
    found = classify.classify(classify.ClassifyJob(name, [Path("red.png")]))
    assert (found.name, found.protocol) == (f"ensemble/{name}", "+".join(protocols))
    expected = kept_average(members, protocols, average)
    for guess in found.guesses["red.png"]:
        assert guess.probability == pytest.approx(float(expected[int(guess.class_name)]), rel=1e-6, abs=1e-9)
    assert found == classify.classify(classify.ClassifyJob(f"ensemble/{name}", [Path("red.png")]))


def test_an_ensembles_protocols_may_be_named(members: list[runs.Run]) -> None:
    found = classify.classify(classify.ClassifyJob("both", [Path("red.png")], protocol="ten_crop+flip"))
    assert found.protocol == "ten_crop+flip"
    with pytest.raises(ValueError, match="no test protocol is called 'eleven_crop'"):
        classify.classify(classify.ClassifyJob("both", [Path("red.png")], protocol="flip+eleven_crop"))


def test_an_ensemble_of_other_classes_is_refused(members: list[runs.Run]) -> None:
    path = run_files.RUNS / members[1].name / "weights.json"
    path.write_text(json.dumps(read_json(path) | {"classes": fake_results.CLASSES[::-1]}))
    with pytest.raises(ValueError, match="ensemble/both cannot classify: its networks differ in their classes"):
        classify.classify(classify.ClassifyJob("both", [Path("red.png")]))


def names(*given: str) -> list[str]:
    return [f"digits/{name}/seed={i}-{i:08x}" for i, name in enumerate(given)]


@pytest.fixture
def there() -> list[str]:
    found = names("alexnet/quick", "resnet18_b/quick", "vgg_a/quick,epochs=3", "vgg_a/quick,epochs=4")
    for name in found:
        (run_files.RUNS / name).mkdir(parents=True)
    return found


def test_a_run_is_found_by_folder_name_or_part(there: list[str]) -> None:
    for given in (there[0], f"results/runs/{there[0]}/", "alexnet", "00000000", "alexn"):
        assert find_run.find_run(given) == there[0]
    assert find_run.find_run("epochs=3") == there[2]


def test_a_whole_part_of_a_name_goes_before_a_piece_of_one(there: list[str]) -> None:
    assert find_run.find_run("resnet18") == fake_results.run().name


def test_a_part_of_several_names_lists_them(there: list[str]) -> None:
    with pytest.raises(ValueError, match=f"several.*\n{there[2]}\n{there[3]}"):
        find_run.find_run("vgg_a")


def test_of_several_runs_the_one_that_params_yaml_names_is_meant(there: list[str]) -> None:
    book = "dataset: digits\narchitectures: [vgg_a]\nrecipe: quick\nprotocols: [ten_crop]\n"
    Path("params.yaml").write_text(book)
    named = next(iter(find_run.named_now(Path("params.yaml"))))
    (run_files.RUNS / named).mkdir(parents=True)
    assert find_run.find_run("vgg_a") == named


def test_an_unknown_run_lists_those_there_are(there: list[str]) -> None:
    with pytest.raises(ValueError, match=r"no run is called 'inception'; there are:\ndigits/alexnet"):
        find_run.find_run("inception")
