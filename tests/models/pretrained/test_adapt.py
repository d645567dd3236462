"""Weights fitted to a network and to the data's classes, by hand."""

import pytest
import torch
from torch import nn

from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.pretrained import adapt, libraries


class Small(Classifier):
    """A convolution, a classifier, and a head that only training sees."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, num_classes)
        self.aux = nn.Linear(2, num_classes)

    def auxiliary_heads(self) -> list[nn.Module]:
        return [self.aux]


def weights(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of four classes, without the head and the count of batches."""
    return {
        "stem.weight": torch.ones(2), "stem.bias": torch.zeros(2),
        "stem.running_mean": torch.zeros(2), "stem.running_var": torch.ones(2),
        "fc.weight": torch.tensor([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1], [3.0, 3.1]], dtype=torch.float16),
        "fc.bias": torch.tensor([0.0, 1.0, 2.0, 3.0]), **changes,
    }  # fmt: skip


def test_the_classifiers_weights_are_those_whose_shape_depends_on_the_classes():
    assert adapt.classifier_dims(Small) == {"fc.weight": 0, "fc.bias": 0, "aux.weight": 0, "aux.bias": 0}
    assert adapt.num_outputs(weights(), adapt.classifier_dims(Small)) == 4


def test_nan_and_infinity_are_refused_by_the_tensors_name():
    for bad in (float("nan"), float("inf")):
        given = weights(**{"stem.bias": torch.tensor([0.0, bad])})
        with pytest.raises(ValueError, match=r"stem\.bias holds NaN or infinity \(1 of 2 values\): of a training"):
            adapt.fitted(given, Small, adapt.classifier_dims(Small), [0])


def test_rows_of_other_classes_are_taken_away_and_the_order_is_the_datas():
    found = adapt.fitted(weights(), Small, adapt.classifier_dims(Small), [3, 1])
    assert found["fc.bias"].tolist() == [3.0, 1.0]
    assert found["fc.weight"][:, 0].tolist() == [3.0, 1.0]
    assert found["fc.weight"].dtype == torch.float32
    assert found["aux.weight"].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    Small(2).load_state_dict(found)


def test_weights_of_another_network_are_refused_with_what_differs():
    given = weights()
    given["body.weight"] = given.pop("stem.weight")
    with pytest.raises(ValueError, match=r"misses 1: stem\.weight; has besides 1: body\.weight"):
        adapt.fitted(given, Small, adapt.classifier_dims(Small), [0])
    with pytest.raises(ValueError, match=r"stem\.bias is \[3\] in the file and \[2\] in the network"):
        adapt.fitted(weights(**{"stem.bias": torch.zeros(3)}), Small, adapt.classifier_dims(Small), [0])
    with pytest.raises(ValueError, match="no classifier"):
        adapt.num_outputs({"x": torch.zeros(1)}, adapt.classifier_dims(Small))


@pytest.mark.parametrize(
    ("classes", "num_outputs", "named", "expected"),
    [
        (["a", "b"], 2, ["b", "a"], ([1, 0], "by name")),
        (["a", "c"], 3, ["a", "b", "c"], ([0, 2], "2 of the weights' 3 classes, by name")),
        (["n01440764", "n01484850"], 1000, None, ([0, 2], "2 of the weights' 1000 classes, by ImageNet's synsets")),
        (["cat", "dog"], 2, None, ([0, 1], "assumed: the data's, sorted by name")),
    ],
)
def test_classes_are_found_by_name_by_synset_or_else_assumed(classes, num_outputs, named, expected):
    assert adapt.places(classes, num_outputs, named, from_library=True) == expected


def test_a_persons_thousand_outputs_are_assumed_to_be_imagenets():
    found = adapt.places(["n01443537"], 1000, None, from_library=False)
    assert found == ([1], "1 of the weights' 1000 classes, assumed: ImageNet's, by synset")


def test_other_classes_are_an_error_that_names_them():
    with pytest.raises(ValueError, match=r"not the weights': c \(of 1 that the weights do not know; they know a, b"):
        adapt.places(["a", "c"], 2, ["a", "b"], from_library=False)
    with pytest.raises(ValueError, match=r"tell 1000 classes apart and the data has 2 \(cat, dog"):
        adapt.places(["cat", "dog"], 1000, None, from_library=True)


def test_synsets_are_imagenets_in_the_order_of_their_names():
    known = libraries.synsets(1000)
    assert known is not None
    assert (len(known), known[0], known[-1], known == sorted(known)) == (1000, "n01440764", "n15075141", True)
    assert libraries.synsets(10) is None
