"""Files of weights: safetensors, or a state dict that torch.save wrote."""

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by name, from a safetensors file or what `torch.save` wrote of a state dict.

    Raises:
        ValueError: it is neither.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        content = next((content[key] for key in ("state_dict", "model") if key in content), content)
        return {name.removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}
    except Exception as error:  # of many kinds
        raise ValueError(f"{path} holds no weights ({type(error).__name__}: {error})") from None
