"""Download of a library's weights, unless they are on this machine already."""

from pathlib import Path

import torch

from ilsvrc.models.pretrained.libraries import Published
from ilsvrc.runtime import download
from ilsvrc.runtime.download import Remote

FOLDER = "weights"  # of data/downloads


def file_of(weights: Published) -> Path:
    """Path of the file: of data/downloads/weights, of the library's own cache, else of a mirror or its address.

    Raises:
        OSError: none of them has it; the message says where to put it.
    """
    remote = Remote(
        weights.file, f"sha256_start:{weights.hash_start}" if weights.hash_start else "", None, (weights.address,)
    )
    kept = download.DOWNLOADS / FOLDER / weights.file
    cached = _cached(weights)
    if not kept.exists() and cached and download.mismatch(cached, remote, kept.parent) is None:
        return cached
    return download.fetch(remote, FOLDER)


def _cached(weights: Published) -> Path | None:
    """The file in torch.hub's or the Hugging Face hub's cache, where it is there."""
    if weights.hub is None:
        path = Path(torch.hub.get_dir()) / "checkpoints" / weights.file
        return path if path.exists() else None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(*weights.hub)
    return Path(cached) if isinstance(cached, str) else None
