"""Quiet of the machine during a measurement: the cores that other processes keep busy meanwhile."""

import os
import time

import psutil

BUSY_CORES, BUSY_SHARE = 0.5, 0.1  # others' cores, and share of all, above which a machine is busy
IDLE = ("idle", "iowait")
INSIDE_OTHERS = ("guest", "guest_nice")  # counted in user and nice too


class OtherLoad:
    """Cores that processes beside this one kept busy since it was made, of those that this one may use."""

    def __init__(self) -> None:
        self.start, self.busy = time.perf_counter(), _others_seconds()

    def cores(self) -> float:
        """Mean number of cores, 0 or more."""
        elapsed = time.perf_counter() - self.start
        return max(0.0, (_others_seconds() - self.busy) / elapsed) if elapsed > 0 else 0.0


def is_busy(other_cores: float, num_cores: int | None = None) -> bool:
    """True if others' load is more than half a core and more than a tenth of `num_cores` (those of this process)."""
    return other_cores > max(BUSY_CORES, BUSY_SHARE * (num_cores or len(os.sched_getaffinity(0))))


def _others_seconds() -> float:
    """Seconds that cores of this process were busy for others, since the machine started."""
    all_cores = psutil.cpu_times(percpu=True)
    mine = [core for core in os.sched_getaffinity(0) if core < len(all_cores)]
    busy = sum(
        seconds
        for core in mine or range(len(all_cores))
        for name, seconds in all_cores[core]._asdict().items()
        if name not in IDLE and name not in INSIDE_OTHERS
    )
    return float(busy) - time.process_time()
