"""LeViT: Graham et al. 2021, "LeViT: a Vision Transformer in ConvNet's Clothing for Faster Inference"."""

from typing import Any

import timm.models.levit as timm_levit
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, FixedSize, check_input_px

STEM_STRIDE = 16


def levit_128s(num_classes: int = 1000, input_px: int = 224, drop_path: float = 0.0) -> "LeViT":
    """LeViT-128S of Table 2, with both heads.

    Input 224 px; parameters 7,777,058 (published: 7.8 million); multiply-adds 304,660,832 (published: 305
    million). The authors count one more for each value of a softmax: 305,108,946 by their rule.

    Differs from the paper: nothing that it states. Logits are the mean of both heads in training too, where the
    authors' code gives two losses; `LeViT.heads` keeps the heads apart.
    """
    return LeViT((128, 256, 384), 16, (4, 6, 8), (2, 3, 4), num_classes, input_px, drop_path)


def levit_128(num_classes: int = 1000, input_px: int = 224, drop_path: float = 0.0) -> "LeViT":
    """LeViT-128 of Table 2, with both heads.

    Input 224 px; parameters 9,213,936 (published: 9.2 million); multiply-adds 405,321,728 (published: 406
    million, softmaxes included).

    Differs from the paper: as `levit_128s`.
    """
    return LeViT((128, 256, 384), 16, (4, 8, 12), (4, 4, 4), num_classes, input_px, drop_path)


def levit_192(num_classes: int = 1000, input_px: int = 224, drop_path: float = 0.0) -> "LeViT":
    """LeViT-192 of Table 2, with both heads.

    Input 224 px; parameters 10,947,069 (published: 11 million); multiply-adds 657,022,080 (published: 658
    million, softmaxes included).

    Differs from the paper: as `levit_128s`.
    """
    return LeViT((192, 288, 384), 32, (3, 5, 6), (4, 4, 4), num_classes, input_px, drop_path)


def levit_256(num_classes: int = 1000, input_px: int = 224, drop_path: float = 0.0) -> "LeViT":
    """LeViT-256 of Table 2, with both heads.

    Input 224 px; parameters 18,893,876 (published: 19 million); multiply-adds 1,127,257,344 (published: 1120
    million; 1,128,024,056 by the authors' rule, softmaxes included).

    Differs from the paper: as `levit_128s`.
    """
    return LeViT((256, 384, 512), 32, (4, 6, 8), (4, 4, 4), num_classes, input_px, drop_path)


def levit_384(num_classes: int = 1000, input_px: int = 224, drop_path: float = 0.1) -> "LeViT":
    """LeViT-384 of Table 2, with both heads; the one that drops paths.

    Input 224 px; parameters 39,128,836 (published: 39 million); multiply-adds 2,351,786,880 (published: 2353
    million, softmaxes included).

    Differs from the paper: as `levit_128s`.
    """
    return LeViT((384, 512, 768), 32, (6, 9, 12), (4, 4, 4), num_classes, input_px, drop_path)


class LeViT(Classifier, timm_levit.LevitDistilled):
    """Four 3x3 convolutions by 2; three stages of attention and MLP, halved between by attention; average; two heads.

    The stages work on a vector for each pixel. Attention adds a bias to each product of a query and a key, which
    depends on the head and on the distance between their pixels in each direction; `drop_path` is the rate at
    which each residual of an image is left out.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        key_channels: int,
        num_heads: tuple[int, ...],
        depths: tuple[int, ...],
        num_classes: int,
        input_px: int,
        drop_path: float,
    ) -> None:
        # Of 64 px or less the last stage has one pixel, and attention nothing to choose from.
        check_input_px("LeViT", input_px, smallest=65)
        side = -(-input_px // STEM_STRIDE)
        super().__init__(  # type: ignore[no-untyped-call]
            img_size=side * STEM_STRIDE,
            num_classes=num_classes,
            embed_dim=widths,
            key_dim=key_channels,
            depth=depths,
            num_heads=num_heads,
            attn_ratio=2.0,
            mlp_ratio=2.0,
            stem_type="s16",
            act_layer="hard_swish",
            drop_path_rate=drop_path,
        )
        self.fixed = FixedSize(side, input_px)
        for module in self.modules():
            if isinstance(module, (timm_levit.Attention, timm_levit.AttentionDownsample)):
                module.register_forward_pre_hook(_forget_biases)
                module.register_forward_hook(_forget_biases)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`, the mean of both heads, in training too."""
        of_labels, of_teacher = self.heads(images)
        return (of_labels + of_teacher) / 2

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[N, K]` of the head that learns labels and of the one that learns a teacher; shapes are 128S's."""
        x = self.stem(images)  # N x 128 x 14 x 14
        x = self.fixed(x).flatten(2).transpose(1, 2)  # N x 196 x 128
        x = self.stages(x)  # N x 16 x 384
        x = x.mean(dim=1)  # N x 384
        return self.head(x), self.head_dist(x)

    def initialize_as_paper(self) -> None:
        """Section 4: batch norms that end a residual start at 0, so that a block starts as the identity.

        Unstated, and taken from the authors' released code: truncated normal weights of deviation 0.02 and biases 0
        in the heads, torch's default in the other layers, attention biases 0, the other batch norms 1 and 0.
        """
        for module in self.modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
        for module in self.modules():
            if isinstance(module, timm_levit.Attention):
                nn.init.zeros_(module.get_parameter("proj.ln.bn.weight"))
            elif isinstance(module, timm_levit.LevitMlp):
                nn.init.zeros_(module.get_parameter("ln2.bn.weight"))
            elif isinstance(module, timm_levit.NormLinear):
                nn.init.trunc_normal_(module.linear.weight, std=0.02)
                nn.init.zeros_(module.linear.bias)


def _forget_biases(attention: Any, *_: Any) -> None:
    """Empties timm's store of each pair's biases, which in evaluation outlives changes and forbids copies."""
    attention.attention_bias_cache = {}
