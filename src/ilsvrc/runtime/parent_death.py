"""Processes that end with their parent, however it ends. Never imports torch.

`python -m ilsvrc.runtime.parent_death <module> ...` is `python -m <module> ...` for a program that is not ours.
"""

import ctypes
import os
import runpy
import signal
import sys
import time
from threading import Thread

PARENT = "ILSVRC_PARENT"  # who must be alive: set by Snakemake and each launcher for the processes that they start
PR_SET_PDEATHSIG = 1
SECONDS_BETWEEN_LOOKS = 1.0  # where the kernel does not tell


def be_the_parent() -> None:
    """Names this process as the one with which the stages that it starts end."""
    os.environ[PARENT] = str(os.getpid())


def die_with_parent(parent: int | None = None) -> None:
    """Ends this process when its parent ends, and at once where that has happened.

    `parent` is the parent's id, None where the environment names it; where neither does, as for a stage that a person
    starts, nothing is done. Another process may stand between the two, such as a shell.
    """
    expected = int(os.environ.get(PARENT, "0")) if parent is None else parent
    if not expected:
        return
    began_under = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        Thread(target=_watch, args=(began_under,), daemon=True).start()
    if os.getppid() != began_under or (began_under != expected and not _is_above(expected)):
        print(f"process {expected}, which started this one, has ended; so does this one", file=sys.stderr, flush=True)
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_above(process: int) -> bool:
    """True if this process, or one that it came from, was started by `process`; a killed one has no children."""
    import psutil  # takes a moment, and a stage of Snakemake's needs none

    return process in [each.pid for each in psutil.Process().parents()]


if __name__ == "__main__":
    die_with_parent()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
