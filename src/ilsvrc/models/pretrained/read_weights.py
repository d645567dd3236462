"""Files of weights: safetensors, or a state dict that torch.save wrote, alone or inside a checkpoint.

Nothing but tensors and plain containers is ever unpickled.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights")
AVERAGES = ("ema", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "params_ema")
SAVE = "torch.save(model.state_dict(), ...)"
STARTS = {  # how files begin that are none of weights -> what they are, and what to do
    b"version https://git-lfs": "it is a Git LFS pointer; `git lfs pull` in its repository fetches the weights",
    b"<": "it is a web page; download the file itself (its raw or resolve address), not the page about it",
    b"\x89HDF": f"it is an HDF5 file, as Keras writes; load it there and save a state dict of torch: {SAVE}",
    b"\x1f\x8b": "it is a gzip archive; unpack it",
    b"GGUF": "it is a GGUF file; take the safetensors or the .pth file of the same weights",
}
SHOWN = 5  # names in an error


class Found(NamedTuple):
    """Weights by the names of their file, and lines on what was passed over, for a person."""

    state: dict[str, Tensor]
    said: tuple[str, ...] = ()


def read_weights(path: Path) -> Found:
    """Weights of a safetensors file, or of what `torch.save` wrote of a state dict, also inside a checkpoint.

    Of a checkpoint it is the state dict under a name of `WRAPPINGS`, else of `AVERAGES`, else the only one there.

    Raises:
        ValueError: it holds no weights, or objects besides; the message says what to save instead.
    """
    with path.open("rb") as file:
        start = file.read(64)
    why = next((why for begin, why in STARTS.items() if start.lstrip().startswith(begin)), "")
    if why or not start:
        raise _refused(path, why or "it is empty; download or save it again")
    if start[8:9] == b"{":  # a safetensors file begins with the length of its head, and the head in JSON
        return Found(_safetensors(path))
    content, under, said = _load(path), "", []
    while isinstance(content, Mapping) and (keys := _state_dicts(content)):
        content, under = content[keys[0]], f"{under}{keys[0]}."
        said += [f"taken from {under[:-1]}, not from {', '.join(keys[1:])}"] if keys[1:] else []
    return Found(_tensors(content, path), tuple(said))


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # of many kinds
        raise _refused(path, f"it is damaged or was cut off ({error}); download or save it again") from None


def _load(path: Path) -> Any:
    """What torch.save wrote, without unpickling objects."""
    if zipfile.is_zipfile(path) and (why := _other_zip(path)):
        raise _refused(path, why)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds
        raise _refused(path, _why_not(str(error))) from None


def _other_zip(path: Path) -> str:
    """What a zip is that torch.save did not write of tensors, and what to do; empty where it may be theirs."""
    with zipfile.ZipFile(path) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist()}
    if "constants.pkl" in names:
        save = f"torch.save(torch.jit.load({path.name!r}).state_dict(), ...)"
        return f"it is a TorchScript program; save its state dict: {save}"
    if "data.pkl" not in names:
        return f"it is a zip of {', '.join(sorted(names)[:SHOWN])}; unpack it, or save a state dict: {SAVE}"
    return ""


def _why_not(error: str) -> str:
    """Reason of a refusal by torch, and what to do."""
    if found := re.search(r"GLOBAL ([\w.]+)", error):
        return (
            f"it holds a Python object, {found[1]}, and objects can run code, so they are never loaded; save the "
            f"tensors alone where that object is at home: {SAVE}"
        )
    if any(sign in error for sign in ("central directory", "archive", "Ran out of input", "truncated")):
        return "it is damaged or was cut off; download or save it again"
    return f"it is neither a safetensors file nor a state dict that torch.save wrote; save one: {SAVE}"


def _state_dicts(content: Mapping[Any, Any]) -> list[str]:
    """Keys of the mappings inside, the one to take first; none where `content` is a state dict itself."""
    inside = [key for key, value in content.items() if isinstance(key, str) and isinstance(value, Mapping)]
    known = [key for key in (*WRAPPINGS, *AVERAGES) if key in inside]
    others = [key for key in inside if content[key] and all(isinstance(v, Tensor) for v in content[key].values())]
    return known or (others if len(others) == 1 else [])


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by name."""
    if not isinstance(content, Mapping):
        raise _refused(path, f"it holds a {type(content).__name__}, not a state dict; save one: {SAVE}")
    state = {name: v.detach() for name, v in content.items() if isinstance(name, str) and isinstance(v, Tensor)}
    if not state:
        keys = ", ".join(map(str, list(content)[:SHOWN])) or "none"
        raise _refused(path, f"there is no tensor under its keys ({keys}); save a state dict: {SAVE}")
    return state


def _refused(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} holds no weights: {why}")
