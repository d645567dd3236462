"""Networks and weights of torchvision and timm, as the catalogue lists them, against what is installed."""

import pytest
import torch

from ilsvrc.config import library_catalog, registry
from ilsvrc.models.pretrained import catalogue, libraries

PAIRS = [
    (ours, library, row[library])
    for ours, row in library_catalog.same_networks().items()
    for library in library_catalog.LIBRARIES
    if row[library]
]


def message(architecture: str, source: str) -> str:
    with pytest.raises(ValueError) as error:
        library_catalog.find(architecture, source)
    return str(error.value)


def test_the_catalogue_is_what_the_installed_libraries_offer():
    text = library_catalog.MODELS_FILE.read_text()
    assert text == catalogue.as_csv(), "print it again: see models/pretrained/catalogue.py"


def test_classifiers_and_aliases_are_listed():
    assert len(library_catalog.models("timm")) > 1000
    assert library_catalog.tags("torchvision", "resnet50")["DEFAULT"] == "IMAGENET1K_V2"
    assert library_catalog.tags("timm", "resnet50")["a1_in1k"] == "a1_in1k"
    assert library_catalog.tags("timm", "no_such_network") == {}


@pytest.mark.parametrize(
    ("architecture", "source", "expected"),
    [
        ("resnet50_b", "torchvision/IMAGENET1K_V1", ("resnet50_b", "torchvision/resnet50.IMAGENET1K_V1")),
        ("resnet50_b", "torchvision/DEFAULT", ("resnet50_b", "torchvision/resnet50.IMAGENET1K_V2")),
        ("resnet50_b", "timm/resnet50.a1_in1k", ("resnet50_b", "timm/resnet50.a1_in1k")),
        ("vgg16", "torchvision/IMAGENET1K_V1", ("vgg_d", "torchvision/vgg16.IMAGENET1K_V1")),
        ("convnext_tiny", "timm/in12k", ("timm.convnext_tiny", "timm/convnext_tiny.in12k")),
        ("torchvision.alexnet", "torchvision/DEFAULT", ("torchvision.alexnet", "torchvision/alexnet.IMAGENET1K_V1")),
    ],
)
def test_short_names_stand_for_full_ones(architecture, source, expected):
    assert library_catalog.find(architecture, source) == expected


def test_a_name_that_is_theirs_for_another_network_is_refused_with_what_it_is_called_here():
    assert "theirs of that name is resnet50_b here" in message("resnet50", "torchvision/IMAGENET1K_V1")
    assert "theirs of that name is torchvision.alexnet here" in message("alexnet", "torchvision/IMAGENET1K_V1")


def test_what_is_not_there_is_named_with_what_is():
    assert "no weights 'V1' of resnet50; there are: IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT" in message(
        "resnet50_b", "torchvision/V1"
    )
    assert "there is no network 'convnext_tinyy'" in message("convnext_tinyy", "timm/in12k")
    assert "nearest: convnext_tiny" in message("convnext_tinyy", "timm/in12k")
    assert "timm.convnext_tiny is no network of torchvision's" in message("timm.convnext_tiny", "torchvision/DEFAULT")
    assert "is of resnet18, while resnet50_b is timm's resnet50" in message("resnet50_b", "timm/resnet18.a1_in1k")


def test_a_file_of_a_network_that_both_libraries_have_wants_to_know_whose():
    assert library_catalog.full_name("vgg_d") == "vgg_d"
    assert library_catalog.full_name("vit_b_16") == "torchvision.vit_b_16"
    with pytest.raises(ValueError, match=r"say torchvision\.convnext_tiny or timm\.convnext_tiny"):
        library_catalog.full_name("convnext_tiny")


def test_weights_that_are_named_with_their_model_imply_our_network_where_it_is_the_same():
    assert library_catalog.implied("timm/regnety_160.deit_in1k") == "timm.regnety_160"
    assert library_catalog.implied("torchvision/resnet50.IMAGENET1K_V1") == "resnet50_b"
    with pytest.raises(ValueError, match=r"name the model too: timm/<model>\.<tag>"):
        library_catalog.implied("timm/deit_in1k")


@pytest.mark.parametrize(("ours", "library", "theirs"), PAIRS)
def test_a_network_of_ours_that_is_theirs_has_weights_of_the_same_names_and_shapes(ours, library, theirs):
    with torch.device("meta"):
        own, other = registry.architecture(ours)(), libraries.build(library, theirs, input_px=registry.input_px(ours))
    mine, others = ({name: v.shape for name, v in network.state_dict().items()} for network in (own, other))
    assert {name: shape for name, shape in mine.items() if not name.startswith("AuxLogits.")} == others
