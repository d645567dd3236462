"""A library's file of weights: where it lies already, else fetched to data/downloads/weights."""

from pathlib import Path

import torch

from ilsvrc.data import _fetch
from ilsvrc.data._fetch import Remote
from ilsvrc.foreign import Published

FOLDER = "weights"  # of data/downloads


def file_of(weights: Published) -> Path:
    """The file: of data/downloads/weights, of the library's own cache, else of a mirror or its address.

    Raises:
        OSError: none of them has it; the message says where to put it.
    """
    remote = Remote(
        weights.file, f"sha256_start:{weights.hash_start}" if weights.hash_start else "", None, (weights.address,)
    )
    kept = _fetch.DOWNLOADS / FOLDER / weights.file
    cached = _cached(weights)
    if not kept.exists() and cached and _fetch.mismatch(cached, remote, kept.parent) is None:
        return cached
    return _fetch.fetch(remote, FOLDER)


def _cached(weights: Published) -> Path | None:
    """The file in torch.hub's or the Hugging Face hub's cache, where it is there."""
    if weights.hub is None:
        path = Path(torch.hub.get_dir()) / "checkpoints" / weights.file
        return path if path.exists() else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(*weights.hub)
    return Path(found) if isinstance(found, str) else None
