"""Prefetch of batches to the device."""

from collections.abc import Iterator
from typing import Any

import torch


def ahead(batches: Iterator[Any], device: torch.device) -> Iterator[Any]:
    """Prefetches batches to `device`; a GPU copies the next one while it computes on this one.

    The copy runs in a stream of its own, from pinned memory.
    """
    if device.type != "cuda":
        yield from (_moved(batch, device) for batch in batches)
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ready = None
    for batch in batches:
        with torch.cuda.stream(stream):
            coming = _moved(batch, device)
        if ready is not None:
            yield ready
        torch.cuda.current_stream(device).wait_stream(stream)
        for tensor in (coming.images, coming.labels):
            tensor.record_stream(torch.cuda.current_stream(device))
        ready = coming
    if ready is not None:
        yield ready


def _moved(batch: Any, device: torch.device) -> Any:
    images, labels = (tensor.to(device, non_blocking=True) for tensor in (batch.images, batch.labels))
    return batch._replace(images=images, labels=labels)
