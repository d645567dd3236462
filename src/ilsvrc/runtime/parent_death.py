"""Processes that end with their parent, however it ends. Never imports torch."""

import ctypes
import os
import signal
import sys

PARENT = "ILSVRC_PARENT"  # who must be alive: set by each process for those that it starts
PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Asks the kernel to kill this process when its parent ends, and ends at once where that has happened.

    `parent` is the parent's id, None where a process of ours started this one.
    """
    expected = int(os.environ[PARENT]) if parent is None else parent
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != expected:
        os._exit(1)
    os.environ[PARENT] = str(os.getpid())
