"""Networks and weights of torchvision and timm, as their own code builds and reads them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of pixels from 0 to 1
HALF = (0.5, 0.5, 0.5)
FROM_MINUS_ONE = ("googlenet", "inception_v3")  # torchvision turns ImageNet's normalisation into -1 to 1 inside them


@dataclass(frozen=True)
class Published:
    """A library's weights before they are here: the file, where it is, and what they are for.

    `mean` and `std` are of pixels from 0 to 1; `hash_start` is how the file's SHA-256 begins, where its name says so.
    `tested_with` is how the library itself tests them (sizes in px), with the errors in percent that it states.
    """

    file: str
    address: str
    hash_start: str
    crop_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tested_with: dict[str, Any]
    hub: tuple[str, str] | None = None  # repository and file, where they are on the Hugging Face hub


class LibraryNetwork(Classifier):
    """Network of a library; its weights go by the library's names."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to `[N, K]`."""
        logits: Tensor = self.network(images)
        return logits

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """State by the library's names."""
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """State by the library's names."""
        return self.network.load_state_dict(*args, **kwargs)


def build(library: str, model: str, num_classes: int = 1000, input_px: int = 224) -> LibraryNetwork:
    """The network without weights, less what only training sees."""
    if library == "timm":
        return LibraryNetwork(_timm_network(model, num_classes, input_px))
    from torchvision import models

    network = models.get_model(model, weights=None, num_classes=num_classes, **_options(model, input_px))
    return LibraryNetwork(_without_auxiliary_heads(network))


def input_px(library: str, model: str) -> int:
    """Side of the images that a library's network is for."""
    if library == "timm":
        import timm

        config = timm.models.get_pretrained_cfg(model)
        return int(config.input_size[-1]) if config else 224
    from torchvision import models

    weights = getattr(models.get_model_weights(model), "DEFAULT", None)
    return int(weights.transforms().crop_size[0]) if weights else 224


def published(library: str, model: str, tag: str) -> Published:
    """A library's description of its weights.

    Raises:
        ValueError: it has none such, or none that can be fetched.
    """
    return (_timm_weights if library == "timm" else _torchvision_weights)(model, tag)


def read(library: str, model: str, tag: str, path: Path) -> dict[str, Tensor]:
    """The library's weights at `path` by the library's names, as its own code reads them (which renames old ones).

    Raises:
        ValueError: the file does not hold them.
    """
    try:
        network = (_read_timm if library == "timm" else _read_torchvision)(model, tag, path)
    except Exception as error:  # of many kinds
        raise ValueError(f"{path} does not hold {library}'s {model}.{tag} ({type(error).__name__}: {error})") from error
    return dict(network.state_dict())


def synsets(num_classes: int) -> list[str] | None:
    """ImageNet's classes in the order that networks of so many outputs have them; None for other numbers."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": num_classes})
    return None if subset is None else list(ImageNetInfo(subset).label_names())  # type: ignore[no-untyped-call]


def _timm_network(model: str, num_classes: int, input_px: int) -> nn.Module:
    import timm

    config = timm.models.get_pretrained_cfg(model)
    own_px = config.input_size[-1] if config else input_px
    sized: dict[str, Any] = {"img_size": input_px} if config and config.fixed_input_size and input_px != own_px else {}
    network: nn.Module = timm.create_model(model, num_classes=num_classes, **sized)
    return network


def _options(model: str, input_px: int) -> dict[str, Any]:
    """Options of torchvision's builder: no weights are drawn in vain, and the input has `input_px`."""
    if model.startswith("vit_"):
        return {"image_size": input_px}
    return {"init_weights": False, "aux_logits": True} if model in FROM_MINUS_ONE else {}


def _without_auxiliary_heads(network: nn.Module) -> nn.Module:
    """Removes auxiliary heads, as torchvision does where weights are loaded."""
    if getattr(network, "aux_logits", False):
        network.aux_logits = False  # type: ignore[assignment]
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, name):
                setattr(network, name, None)
    return network


def _torchvision_weights(model: str, tag: str) -> Published:
    from torchvision import models

    weights = models.get_model_weights(model)[tag]
    shown, name = weights.transforms(), weights.url.rsplit("/", 1)[-1]
    right = weights.meta.get("_metrics", {}).get("ImageNet-1K", {})
    stated = {f"top{k}_error_percent": round(100 - right[f"acc@{k}"], 3) for k in (1, 5) if f"acc@{k}" in right}
    return Published(
        file=name,
        address=weights.url,
        hash_start=_hash_start(name),
        crop_px=shown.crop_size[0],
        mean=HALF if model in FROM_MINUS_ONE else tuple(shown.mean),
        std=HALF if model in FROM_MINUS_ONE else tuple(shown.std),
        tested_with={
            "short_side_px": shown.resize_size[0], "crop_px": shown.crop_size[0],
            "interpolation": shown.interpolation.value, **stated,
        },
    )  # fmt: skip


def _hash_start(name: str) -> str:
    """`0676ba61` of `resnet50-0676ba61.pth`."""
    match = re.search(r"-([0-9a-f]{8,})\.\w+$", name)
    return match[1] if match else ""


def _timm_weights(model: str, tag: str) -> Published:
    import timm
    from huggingface_hub import constants

    config = timm.models.get_pretrained_cfg(f"{model}.{tag}")
    if config is None or not (config.hf_hub_id or config.url):
        raise ValueError(f"timm has no weights {tag} of {model} that can be fetched")
    crop_px = config.input_size[-1]
    if config.hf_hub_id:
        hub = config.hf_hub_id, config.hf_hub_filename or "model.safetensors"
        file = f"{model}.{tag}{Path(hub[1]).suffix}"
        address = f"{constants.ENDPOINT}/{hub[0]}/resolve/main/{hub[1]}"
    else:
        hub, address = None, str(config.url)
        file = address.rsplit("/", 1)[-1]
    return Published(
        file=file,
        address=address,
        hash_start=_hash_start(file),
        crop_px=crop_px,
        mean=tuple(config.mean),
        std=tuple(config.std),
        tested_with={
            "short_side_px": int(crop_px / config.crop_pct), "crop_px": crop_px, "interpolation": config.interpolation,
        },
        hub=hub,
    )  # fmt: skip


def _read_torchvision(model: str, tag: str, path: Path) -> nn.Module:
    from torchvision import models

    def from_file(*args: Any, **kwargs: Any) -> Any:
        return torch.load(path, map_location="cpu", weights_only=True)

    with patch("torchvision.models._api.load_state_dict_from_url", from_file):
        network: nn.Module = models.get_model(model, weights=models.get_model_weights(model)[tag])
    return network


def _read_timm(model: str, tag: str, path: Path) -> nn.Module:
    import timm

    from_file = {"file": str(path), "custom_load": path.suffix == ".npz"}
    network: nn.Module = timm.create_model(f"{model}.{tag}", pretrained=True, pretrained_cfg_overlay=from_file)
    return network
