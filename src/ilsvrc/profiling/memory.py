"""Peak memory of torch's tensors while something runs.

On a GPU its allocator counts. On a CPU the profiler records each block that torch's allocator hands out and takes back,
oneDNN's scratch memory among them: exact, and the same at every run, where a process's resident memory also holds what
malloc keeps for later and what libraries load (the same ResNet-18 differs by tens of megabytes from run to run). What
fbgemm packs of int8 weights is not among it: `weight_bytes` counts those.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

Work = Callable[[], Any]


def peaks(works: Sequence[Work], device: torch.device) -> list[int]:
    """Most bytes during each of `works`, one after the other, beside what was held before the first."""
    if device.type == "cuda":
        return _peaks_on_gpu(works, device)
    held, peak_bytes = 0, []
    for work in works:
        changes = _changes(work)
        peak_bytes.append(max([held, *_running(changes, held)]))
        held += sum(changes)
    return peak_bytes


def tensor_bytes(values: Iterable[Any]) -> int:
    """Bytes of the tensors among `values`."""
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def weight_bytes(network: nn.Module) -> int:
    """Bytes of parameters and buffers, or of what is stored of a network that packs its weights."""
    if not _packs(network):
        return tensor_bytes([*network.parameters(), *network.buffers()])
    stored = io.BytesIO()
    torch.save(network.state_dict(), stored)
    return stored.getbuffer().nbytes


def _packs(network: nn.Module) -> bool:
    return any(
        not isinstance(value, Tensor) or value.is_quantized
        for name, value in network.state_dict().items()
        if "_extra_state" not in name
    )


def _changes(work: Work) -> list[int]:
    """Bytes of each block that is handed out (above 0) and taken back (below 0) while `work` runs."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    assert seen.profiler is not None
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


def _running(changes: Iterable[int], held: int) -> list[int]:
    return [held := held + change for change in changes]


def _peaks_on_gpu(works: Sequence[Work], device: torch.device) -> list[int]:
    before, peak_bytes = torch.cuda.memory_allocated(device), []
    for work in works:
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        peak_bytes.append(torch.cuda.max_memory_allocated(device) - before)
    return peak_bytes
