"""Numba as every compiled function here uses it: cached on the disk, in threads that may run side by side.

Import it before anything is decorated. The cache's folder carries a hash of this package's sources, since numba looks
at the file of the outermost function only, and of the compiled library, which other functions stand in for.
"""

import hashlib
import os
import stat
import tempfile
from functools import partial
from pathlib import Path

import llvmlite.binding
import numba
from numba import types

from ilsvrc.packing import c_extension


def _cache_folder() -> Path:
    library = c_extension.path()
    sources = [*sorted(Path(__file__).parent.glob("*.py")), *([library] if library else [])]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    chosen = Path(os.environ.get("NUMBA_CACHE_DIR") or home / "ilsvrc")
    for folder in (chosen, Path(tempfile.gettempdir()) / f"ilsvrc-{os.getuid()}"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / digest).mkdir(exist_ok=True)
        except OSError:
            continue
        if _ours(folder) and _ours(folder / digest):
            return folder / digest
    return Path(tempfile.mkdtemp(prefix="ilsvrc-"))


def _ours(folder: Path) -> bool:
    """Whether no stranger can write there: what lies in the cache is run."""
    found = folder.stat()
    return os.access(folder, os.W_OK) and found.st_uid == os.getuid() and not found.st_mode & stat.S_IWOTH


numba.config.CACHE_DIR = str(_cache_folder())
# tbb or omp: numba's own pool, workqueue, aborts the process where two loaders run at once
numba.config.THREADING_LAYER = "threadsafe"

njit = partial(numba.njit, nogil=True, cache=True)


def c_function(name: str, address: int, result: types.Type, *arguments: types.Type) -> types.ExternalFunction:
    """A C function by its symbol's name, so that what calls it can be cached."""
    llvmlite.binding.add_symbol(name, address)
    return types.ExternalFunction(name, result(*arguments))


def num_threads(wanted: int) -> int:
    """`wanted`, or as many as this process may use."""
    return max(1, min(wanted, numba.config.NUMBA_NUM_THREADS))
