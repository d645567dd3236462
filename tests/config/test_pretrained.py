"""`weights:` in params.yaml: what may stand there, and what its runs depend on."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import records

from ilsvrc.config import pretrained, runs, specs
from ilsvrc.config.params import Params
from ilsvrc.config.schema import parse
from ilsvrc.pipeline import wiring

BOOK = {"dataset": "imagenette", "protocols": ["single_crop"]}
V1 = "torchvision/IMAGENET1K_V1"


def book(**values: Any) -> Params:
    return parse(Params, {**BOOK, **values}, where="params.yaml")


def message(**values: Any) -> str:
    with pytest.raises(ValueError) as error:
        runs.expand(book(**values))
    return str(error.value)


def expanded(**values: Any) -> list[runs.Run]:
    return runs.expand(book(**values))


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pretrained.file_sha256.cache_clear()
    pretrained.beside.cache_clear()


def test_networks_that_exist_stand_behind_those_that_are_trained():
    names = [
        run.name
        for run in expanded(architectures=["resnet50_b"], recipe="quick", weights={"resnet50_b": [V1, "timm/a1_in1k"]})
    ]
    assert [name.rsplit("/", 1)[0] for name in names] == [
        "imagenette/resnet50_b/quick",
        "imagenette/resnet50_b/torchvision-IMAGENET1K_V1",
        "imagenette/resnet50_b/timm-a1_in1k",
    ]


def test_the_key_of_weights_is_that_of_their_full_name():
    (short,), (full,) = (
        expanded(weights={"resnet50_b": source}) for source in (V1, "torchvision/resnet50.IMAGENET1K_V1")
    )
    assert short.name == full.name == "imagenette/resnet50_b/torchvision-IMAGENET1K_V1/seed=0-45e591ab"
    assert json.loads(specs.specification(short.spec)) == {
        "architecture": "resnet50_b",
        "form": {"data": "imagenette"},
        "source": "torchvision/resnet50.IMAGENET1K_V1",
    }


def test_sizes_and_normalisation_are_part_of_the_key():
    names = [
        expanded(weights={"resnet50_b": {"source": V1, **options}})[0].name
        for options in ({}, {"crop_px": 288}, {"normalization": "unit"}, {"mean": [104, 117, 123]})
    ]
    assert len(set(names)) == 4


def test_a_file_counts_by_its_content_and_not_by_its_place():
    names = []
    for place, content in (("a/vgg16.pth", b"one"), ("b/vgg16.pth", b"one"), ("c/vgg16.pth", b"two")):
        Path(place).parent.mkdir()
        Path(place).write_bytes(content)
        names.append(expanded(weights={"vgg_d": place})[0].name)
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("imagenette/vgg_d/file-vgg16/")


def weights_of_ours(folder: Path, **changes: Any) -> Path:
    """A file of weights with the weights.json that a run of ours leaves."""
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"ours")
    info = {
        "spec": {"architecture": "alexnet", "recipe": {"normalization": "mean", "precision": "float32"}},
        "weights_sha256": hashlib.sha256(b"ours").hexdigest(), "crop_px": 80,
        "mean": [30.0, 31.0, 32.0], "std": [70.0, 71.0, 72.0], "classes": ["a", "b"],
    }  # fmt: skip
    (folder / "weights.json").write_text(json.dumps(info | changes))
    return folder / "weights.safetensors"


def test_weights_of_ours_say_themselves_what_they_are_for():
    spec = expanded(weights={"alexnet": str(weights_of_ours(Path("seed=0-0123abcd")))})[0].spec
    assert (spec.crop_px, spec.normalization, spec.mean, spec.precision) == (80, "mean", (30.0, 31.0, 32.0), "float32")


def test_weights_of_ours_are_refused_under_another_name_and_where_their_description_is_of_another_file():
    file = str(weights_of_ours(Path("one")))
    assert "is of alexnet, its weights.json says" in message(weights={"zfnet": file})
    other = str(weights_of_ours(Path("two"), weights_sha256="0" * 64))
    assert "two/weights.json describes another file" in message(weights={"alexnet": other})


def test_what_cannot_be_is_refused_with_what_can():
    assert "name architectures and a recipe to train, or weights:" in message()
    assert "recipe is missing" in message(architectures=["alexnet"])
    assert "there are: IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT" in message(weights={"resnet50_b": "torchvision/V3"})
    assert "neither torchvision/<tag>, timm/<tag> nor a file" in message(weights={"resnet50_b": "IMAGENET1K_V1"})
    assert "there is no network 'resnet50bb'" in message(weights={"resnet50bb": "../some.pth"})
    assert "weights.resnet50_b: no/such.pth cannot be read" in message(weights={"resnet50_b": "no/such.pth"})
    assert "sauce is not a key" in message(weights={"resnet50_b": {"sauce": V1}})
    assert "names something twice" in message(weights={"resnet50_b": [V1, V1]})
    assert "training and sweep are of architectures" in message(weights={"resnet50_b": V1}, training={"epochs": 3})


def test_levels_of_pixels_from_0_to_1_are_told_apart():
    text = message(weights={"resnet50_b": {"source": V1, "mean": [0.485, 0.456, 0.406]}})
    assert "mean = [0.485, 0.456, 0.406] is of pixels from 0 to 1; give it of 0 to 255" in text


def test_weights_that_exist_teach_a_run_and_are_part_of_its_specification():
    source = "timm/regnety_160.deit_in1k"
    (pupil,) = expanded(architectures=["levit_128s"], recipe="quick", training={"teacher": source})
    assert pupil.teacher.name.startswith("imagenette/timm.regnety_160/timm-deit_in1k/")
    assert pupil.spec.teacher.source == source
    restored = specs.parse_specification(specs.TrainSpec, specs.specification(pupil.spec))
    assert restored == pupil.spec


def test_a_teacher_that_weights_lists_is_tested_too_as_it_is_listed_there():
    source = "timm/regnety_160.deit_in1k"
    flow = wiring.Pipeline(
        book(
            architectures=["levit_128s"],
            recipe="quick",
            training={"teacher": source},
            weights={"timm.regnety_160": {"source": source, "crop_px": 288}},
        )
    )
    pupil, listed = flow.runs.values()
    assert pupil.teacher == listed
    assert (list(flow.trained), list(flow.imported)) == ([pupil.name], [listed.name])


def test_a_teachers_file_says_its_network_or_is_listed():
    def teacher(file: Path, **weights: str) -> str:
        training = {"teacher": str(file)}
        return expanded(architectures=["zfnet"], recipe="quick", training=training, weights=weights)[0].teacher.name

    assert teacher(weights_of_ours(Path("ours"))).startswith("imagenette/alexnet/file-ours/")
    Path("plain.pth").write_bytes(b"plain")
    with pytest.raises(ValueError, match=r"list it in weights: <architecture>: plain\.pth"):
        teacher(Path("plain.pth"))
    assert teacher(Path("plain.pth"), vgg_d="plain.pth").startswith("imagenette/vgg_d/file-plain/")


def test_ensembles_name_weights_by_their_source():
    flow = wiring.Pipeline(book(weights={"resnet50_b": [V1, "timm/a1_in1k"]}, ensembles={"both": ["resnet50_b"]}))
    assert [list(one.members) for one in flow.ensembles] == [list(flow.runs)]
    assert flow.ensembles[0].networks == "2 resnet50_b"


def test_a_trainings_specification_reads_back_as_itself():
    (run,) = runs.expand(Params(dataset="digits", architectures=["alexnet"], recipe="quick", protocols=["whole"]))
    assert records.weights_info(spec=json.loads(specs.specification(run.spec))).made_from == run.spec


def test_names_of_classes_in_a_weights_json_beside_a_file_are_read_as_json_has_them(tmp_path: Path):
    classes = ["\N{GRINNING FACE}", "\udcff"]  # JSON's escapes: a pair, and a byte that is not UTF-8
    (tmp_path / "weights.json").write_text(records.weights_info(classes=classes, weights_sha256="0" * 64).as_json())
    ours = pretrained.beside(str(tmp_path / "weights.pth"), "0" * 64)
    assert ours is not None
    assert ours.classes == classes
