"""Numba as every compiled function here uses it: cached on the disk, in threads that may run side by side.

Import it before anything is decorated. The cache's folder carries a hash of this package's sources, since numba looks
at the file of the outermost function only.
"""

import hashlib
import os
import tempfile
from functools import partial
from pathlib import Path

import numba


def _cache_folder() -> Path:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    chosen = Path(os.environ.get("NUMBA_CACHE_DIR") or home / "ilsvrc")
    for folder in (chosen, Path(tempfile.gettempdir()) / f"ilsvrc-{os.getuid()}"):
        try:
            (folder / digest).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder / digest, os.W_OK):
            return folder / digest
    return Path(tempfile.mkdtemp(prefix="ilsvrc-"))


numba.config.CACHE_DIR = str(_cache_folder())
# tbb or omp: numba's own pool, workqueue, aborts the process where two loaders run at once
numba.config.THREADING_LAYER = "threadsafe"

njit = partial(numba.njit, nogil=True, cache=True)


def num_threads(wanted: int) -> int:
    """`wanted`, or as many as this process may use."""
    return max(1, min(wanted, numba.config.NUMBA_NUM_THREADS))
