"""Energy counters of the machine: RAPL's counters of a CPU, NVML's of a GPU. Standard library only."""

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
MICROJOULES, MILLIJOULES = 1e-6, 1e-3


@dataclass(frozen=True)
class Counter:
    """Joules so far, of each part that is counted; each begins again at its `wraps`."""

    source: str
    read: Callable[[], Sequence[float]]
    wraps: Sequence[float]

    def between(self, before: Sequence[float], after: Sequence[float]) -> float:
        """Joules from one reading to the other; the counters may have begun again once."""
        return sum((b - a) % wrap for a, b, wrap in zip(before, after, self.wraps, strict=True))


def counter(device_type: str, gpu_uuid: str = "") -> Counter | str:
    """The counter of a `cpu`, or of the GPU with that UUID, or why there is none."""
    return nvml(gpu_uuid) if device_type == "cuda" else rapl()


def rapl(root: Path = POWERCAP) -> Counter | str:
    """The processors' packages and memory, everything that runs on them included."""
    zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _counts(zone)]
    if not zones:
        return f"not measured: this machine has no energy counters (RAPL) under {root}"
    files = [zone / "energy_uj" for zone in zones]
    try:
        wraps = [int((zone / "max_energy_range_uj").read_text()) * MICROJOULES for zone in zones]
        _microjoules(files)
    except OSError as error:
        return f"not measured: {error.filename} cannot be read ({error.strerror})"
    names = ", ".join((zone / "name").read_text().strip() for zone in zones)
    return Counter(f"RAPL: {names}", lambda: [number * MICROJOULES for number in _microjoules(files)], wraps)


def _microjoules(files: Sequence[Path]) -> list[int]:
    return [int(file.read_text()) for file in files]


def _counts(zone: Path) -> bool:
    """A package or its memory; not a package's cores, which are in it, nor the platform, which holds all."""
    name = zone / "name"
    return name.exists() and name.read_text().strip().startswith(("package", "dram"))


def nvml(uuid: str) -> Counter | str:
    """A whole GPU, since its driver was loaded (Volta and later)."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return "not measured: the driver's library, libnvidia-ml.so.1, is not there"
    handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()

    def read() -> list[float]:
        _check(library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)))
        return [millijoules.value * MILLIJOULES]

    try:
        _check(library.nvmlInit_v2())
        _check(library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)))
        read()
    except OSError as error:
        return f"not measured: {error}"
    return Counter("NVML: the whole GPU", read, [math.inf])


def _check(status: int) -> None:
    if status:
        raise OSError(f"NVML answers with error {status}")
