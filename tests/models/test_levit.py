"""LeViT against its paper, the authors' counts, and timm's."""

import copy

import pytest
import timm.models.levit as timm_levit
import torch
from torch import nn

from ilsvrc.models import levit
from ilsvrc.models.common import flops
from ilsvrc.models.levit import levit_128s, levit_384

NETWORKS = (levit.levit_128s, levit.levit_128, levit.levit_192, levit.levit_256, levit.levit_384)


@pytest.fixture(scope="module")
def at_224():
    with torch.device("meta"):
        return levit_128s()


@pytest.fixture
def small():
    """Past its first state, in which residuals are 0, with biases that tell offsets apart."""
    torch.manual_seed(0)
    network = levit_128s(num_classes=7, input_px=80)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.ones_(module.weight)
    for attention in attentions(network):
        nn.init.normal_(attention.attention_biases)
    return network


def attentions(network):
    kinds = timm_levit.Attention, timm_levit.AttentionDownsample
    return [module for module in network.modules() if isinstance(module, kinds)]


def biases_by_hand(attention, side, stride):
    """`[heads, queries, keys]`: a head's bias for |dy| and |dx|, queries on every `stride`-th pixel."""
    return torch.stack(
        [
            torch.stack(
                [
                    attention.attention_biases[:, abs(yq - yk) * side + abs(xq - xk)]
                    for yk in range(side)
                    for xk in range(side)
                ],
                dim=1,
            )
            for yq in range(0, side, stride)
            for xq in range(0, side, stride)
        ],
        dim=1,
    )


@pytest.mark.parametrize(
    ("build", "parameters"),
    zip(NETWORKS, [7_777_058, 9_213_936, 10_947_069, 18_893_876, 39_128_836], strict=True),
)
def test_parameters_are_those_of_the_authors_code(build, parameters):
    with torch.device("meta"):
        assert flops.count(build(), 224).parameters == parameters


def test_multiply_adds_are_the_authors_once_softmaxes_count(at_224):
    softmaxes = 0
    for attention in attentions(at_224):
        softmaxes += attention.num_heads * attention.attention_bias_idxs.numel()
    assert flops.count(at_224, 224).multiply_adds + softmaxes == 305_108_946  # printed as 305M


def test_stages_have_the_sizes_of_table_2(at_224):
    sizes = []
    for module in (at_224.stem, *at_224.stages):
        module.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    at_224.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    assert sizes == [(128, 14, 14), (196, 128), (49, 256), (16, 384)]
    assert [len(stage.blocks) for stage in at_224.stages] == [2, 3, 4]


def test_attentions_that_halve_have_a_head_for_every_16_channels(at_224):
    halving = [module for module in at_224.modules() if isinstance(module, timm_levit.AttentionDownsample)]
    assert [module.num_heads for module in halving] == [128 // 16, 256 // 16]
    assert [module.val_dim for module in halving] == [4 * 16, 4 * 16]


def test_attention_adds_a_bias_for_each_head_and_distance_in_each_direction(small):
    for attention, side, stride in [
        (small.stages[0].blocks[0].attn, 5, 1),
        (small.stages[1].downsample.attn_downsample, 5, 2),
        (small.stages[1].blocks[0].attn, 3, 1),
        (small.stages[2].downsample.attn_downsample, 3, 2),
    ]:
        expected = biases_by_hand(attention, side, stride)
        assert attention.attention_biases.shape == (attention.num_heads, side**2)
        assert torch.equal(attention.get_attention_biases(torch.device("cpu")), expected)


def test_attention_is_the_papers_formula(small):
    attention = small.stages[0].blocks[0].attn
    small.eval()
    x = torch.randn(2, 25, 128)
    with torch.no_grad():
        heads = []
        for rows in attention.qkv(x).view(2, 25, 4, 64).unbind(2):
            q, k, v = rows[..., :16], rows[..., 16:32], rows[..., 32:]
            weights = (q @ k.mT) / 4 + biases_by_hand(attention, 5, 1)[len(heads)]
            heads.append(weights.softmax(-1) @ v)
        activated = nn.functional.hardswish(torch.cat(heads, dim=-1))
        assert torch.allclose(attention(x), attention.proj.ln(activated), atol=1e-5)


def test_a_query_of_a_halving_attention_comes_from_every_second_pixel(small):
    attention = small.stages[1].downsample.attn_downsample
    pixels = torch.arange(25.0).view(1, 25, 1)
    assert attention.q.down(pixels).flatten().tolist() == [0, 2, 4, 10, 12, 14, 20, 22, 24]


def test_the_same_weights_give_the_same_logits_in_timms_network(small):
    timms = timm_levit.LevitDistilled(
        img_size=80, num_classes=7, embed_dim=(128, 256, 384), key_dim=16, num_heads=(4, 6, 8), depth=(2, 3, 4)
    )
    timms.load_state_dict(small.state_dict())
    images = torch.randn(2, 3, 80, 80)
    with torch.no_grad():
        assert torch.allclose(small.eval()(images), timms.eval()(images), atol=1e-6)


def test_logits_are_the_mean_of_both_heads_in_training_and_testing(small):
    images = torch.randn(2, 3, 80, 80)
    for training in (True, False):
        small.train(training)
        with torch.no_grad():
            of_labels, of_teacher = small.heads(images)
            assert not torch.equal(of_labels, of_teacher)
            assert torch.equal(small(images), (of_labels + of_teacher) / 2)


def test_changed_biases_are_used_at_once_in_evaluation(small):
    images = torch.randn(2, 3, 80, 80)
    small.eval()
    with torch.no_grad():
        before = small(images)
        saved = {name: value.clone() for name, value in small.state_dict().items()}
        for attention in attentions(small):
            attention.attention_biases.normal_()
        assert not torch.equal(small(images), before)
        small.load_state_dict(saved)
        assert torch.equal(small(images), before)


def test_gradients_can_be_taken_twice_in_evaluation(small):
    small.eval()
    for _ in range(2):
        small(torch.randn(2, 3, 80, 80)).sum().backward()
    assert all(attention.attention_biases.grad.any() for attention in attentions(small))


def test_a_network_can_be_copied_after_evaluation_with_gradients(small):
    images = torch.randn(1, 3, 80, 80)
    logits = small.eval()(images)
    assert torch.equal(copy.deepcopy(small)(images), logits)


def test_weights_hold_no_more_than_the_parameters_and_running_statistics(small):
    small.eval()(torch.randn(1, 3, 80, 80))
    kinds = {name.rsplit(".", 1)[1] for name in small.state_dict()}
    assert kinds == {"weight", "bias", "attention_biases", "running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.parametrize("input_px", [65, 79, 80, 81])
def test_a_side_that_the_strides_do_not_divide_is_rounded_up(input_px):
    with torch.device("meta"):
        network = levit_128s(input_px=input_px).eval()
        assert network(torch.empty(2, 3, input_px, input_px)).shape == (2, 1000)


def test_another_size_than_the_one_built_for_is_refused():
    with torch.device("meta"):
        network = levit_128s(input_px=96).eval()
        with pytest.raises(ValueError, match=r"built for images of 96 x 96 px.*6 x 6 pixels and not 7 x 6.*crop_px"):
            network(torch.empty(2, 3, 112, 96))


def test_only_the_largest_drops_paths_by_default():
    with torch.device("meta"):
        rates = {
            build.__name__: {
                module.drop_prob for module in build().modules() if isinstance(module, timm_levit.DropPath)
            }
            for build in NETWORKS
        }
    assert rates == {
        "levit_128s": set(),
        "levit_128": set(),
        "levit_192": set(),
        "levit_256": set(),
        "levit_384": {0.1},
    }


def test_a_dropped_path_leaves_a_pictures_residual_out_and_doubles_it_in_the_others():
    torch.manual_seed(0)
    with torch.device("meta"):
        drop = levit_384(drop_path=0.5).stages[0].blocks[0].drop_path1.train()
    dropped = drop(torch.ones(64, 3, 2))
    assert {tuple(picture.unique().tolist()) for picture in dropped} == {(0.0,), (2.0,)}


def test_initialisation_starts_residuals_at_nothing():
    torch.manual_seed(0)
    network = levit_128s(num_classes=500, input_px=80)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 3.0)
    network.initialize_as_paper()
    x = torch.randn(2, 25, 128)
    assert torch.equal(network.stages[0](x), x)
    halving = network.stages[1].downsample.attn_downsample
    assert (halving.proj.ln.bn.weight == 1).all()
    assert not any(attention.attention_biases.any() for attention in attentions(network))
    assert network.head.linear.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not network.head_dist.linear.bias.any()
    first = network.stem.conv2.linear.weight  # torch's default: uniform within 1 / sqrt(fan in)
    assert first.std().item() == pytest.approx((1 / (3 * 16 * 9)) ** 0.5, rel=0.05)
