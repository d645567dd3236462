import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ilsvrc.config import registry
from ilsvrc.models.common import classifier_names
from ilsvrc.models.pretrained import own_names
from ilsvrc.models.pretrained.read_weights import read_weights
from ilsvrc.runtime.distributed import World
from ilsvrc.training import build, transfer


def built(name: str = "resnet18", classes: int = 4, px: int = 64) -> nn.Module:
    torch.manual_seed(classes)
    network = registry.architecture(name)(num_classes=classes, input_px=px)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network


def names(name: str, px: int = 64) -> set[str]:
    return classifier_names.classifier_names(
        lambda classes: registry.architecture(name)(num_classes=classes, input_px=px)
    )


def test_the_classifier_is_what_depends_on_the_number_of_classes():
    assert names("resnet18") == {"fc.weight", "fc.bias"}
    assert len(names("googlenet", 224)) == 6  # of which four are the auxiliary heads'
    assert names("nin_cifar", 32) and names("levit_128s", 224)


def test_all_but_the_classifier_is_taken_from_a_network_of_other_classes():
    old, new = built(classes=7), built(classes=4)
    before = new.fc.weight.clone()
    taken = transfer.take_over(new, old.state_dict(), "but_classifier", names("resnet18"))
    assert torch.equal(new.conv1.weight, old.conv1.weight)
    assert torch.equal(new.fc.weight, before)
    assert "fc.weight" not in taken
    assert "bn1.running_mean" in taken


def test_other_shapes_and_other_networks_are_refused():
    with pytest.raises(ValueError, match="another number of classes wants start_layers: but_classifier"):
        transfer.take_over(built(classes=4), built(classes=7).state_dict(), "all", names("resnet18"))
    with pytest.raises(ValueError, match="is it of this architecture"):
        transfer.take_over(built(), built("alexnet", px=227).state_dict(), "but_classifier", names("resnet18"))


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return one.weight.shape == other.weight.shape and torch.equal(one.weight, other.weight)


def test_deeper_vggs_take_four_convolutions_and_three_linear_layers():
    a, d = built("vgg_a"), built("vgg_d")
    before = {name: value.clone() for name, value in d.state_dict().items()}
    taken = transfer.take_over(d, a.state_dict(), "vgg", set())
    convs = [[m for m in net.modules() if isinstance(m, nn.Conv2d)] for net in (a, d)]
    linears = [[m for m in net.modules() if isinstance(m, nn.Linear)] for net in (a, d)]
    assert len(taken) == 14
    assert all(torch.equal(x.weight, y.weight) for x, y in zip(*linears, strict=True))
    same = [(i, j) for i, x in enumerate(convs[0]) for j, y in enumerate(convs[1]) if same_weights(x, y)]
    assert same == [(0, 0), (1, 2), (2, 4), (3, 5)]  # Table 1: 3-64, 64-128, 128-256, 256-256
    untouched = set(before) - set(taken)
    assert all(torch.equal(before[name], d.state_dict()[name]) for name in untouched)


@pytest.mark.parametrize(("trained", "expected"), [("classifier", {"fc"}), (1, {"fc", "layer4"}), ("all", None)])
def test_only_the_last_stages_move(trained, expected):
    network = built()
    frozen = transfer.freeze(network, names("resnet18"), trained)
    moving = {name.split(".")[0] for name, value in network.named_parameters() if value.requires_grad}
    if expected is None:
        assert not frozen
    else:
        assert moving == expected


def test_more_stages_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="stages, of which one stays frozen"):
        transfer.freeze(built(), names("resnet18"), 99)


def test_what_was_taken_over_has_a_rate_of_its_own():
    network = built()
    found = transfer.rates(network, ["conv1.weight", "bn1.running_mean"], 0.1)
    assert found == {id(network.conv1.weight): 0.1}
    assert transfer.rates(network, ["conv1.weight"], 1.0) == {}


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pt", "checkpoint.pth"])
def test_weights_are_read_from_the_usual_files(tmp_path, file):
    state = built().state_dict()
    if file.endswith("safetensors"):
        save_file(state, tmp_path / file)
    else:
        wrapped = {f"module.{name}": value for name, value in state.items()}
        torch.save({"state_dict": wrapped, "epoch": 3} if file.endswith("pth") else state, tmp_path / file)
    found = own_names.by_own_names(read_weights(tmp_path / file).state, state, names("resnet18"))
    assert found.state.keys() == state.keys()


def test_counts_of_batches_may_be_missing_and_nan_may_not_be_there():
    old, new = built(classes=4), built(classes=4)
    without = {name: value for name, value in old.state_dict().items() if not name.endswith("num_batches_tracked")}
    taken = transfer.take_over(new, without, "all", names("resnet18"))
    assert torch.equal(new.layer4[1].bn2.weight, old.layer4[1].bn2.weight)
    assert not any(name.endswith("num_batches_tracked") for name in taken)
    without["layer2.0.conv1.weight"][0, 0, 0, :2] = float("nan")
    with pytest.raises(
        ValueError, match=r"start_from: layer2\.0\.conv1\.weight holds NaN or infinity \(2 of 73728 val"
    ):
        transfer.take_over(new, without, "all", names("resnet18"))


def test_weights_from_elsewhere_start_a_training(tmp_path, capsys):
    old, new = built(classes=7), built(classes=4)
    state = {name.replace("fc.", "linear."): value.half() for name, value in old.state_dict().items()}
    wrapped = {f"module.{name}": value for name, value in state.items() if "num_batches" not in name}
    torch.save({"net": wrapped, "acc": 93.1}, tmp_path / "net.pth")
    read = build.read_start(tmp_path / "net.pth", new, names("resnet18"), World(device=torch.device("cpu")))
    transfer.take_over(new, read, "but_classifier", names("resnet18"))
    assert torch.equal(new.conv1.weight, old.conv1.weight.half().float())
    said = "module.conv1.weight taken for conv1.weight, and others likewise; the classifier linear taken for fc"
    assert said in capsys.readouterr().err
