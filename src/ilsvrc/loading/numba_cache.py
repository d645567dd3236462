"""Compilation by numba: cached on the disk, once for all processes, in threads that may run side by side.

Import it before anything is decorated. The cache's folder carries a hash of the kernels' sources, since numba looks at
the file of the outermost function only, and of the compiled library, whose functions replace some of the kernels.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import llvmlite.binding
import numba
from numba import types

from ilsvrc.packing import c_extension
from ilsvrc.runtime import locks

if TYPE_CHECKING:
    from filelock import BaseFileLock

PACKAGE = Path(__file__).parents[1]
SOURCES = (  # files with kernels, and those whose constants they hold
    "loading/decode_crops.py",
    "loading/decode_views.py",
    "loading/numba_cache.py",
    "loading/random_crops.py",
    "loading/resample.py",
    "packing/beton_layout.py",
    "packing/c_extension.py",
    "packing/jpeg.py",
)
HEAD_BYTES = 16  # of a file of numba's never all zeros
Kernel = TypeVar("Kernel", bound=Callable[..., Any])
_compiled: set[Callable[..., Any]] = set()  # kernels that this process has called: numba's own list is not thread-safe


def _cache_folder() -> Path:
    library = c_extension.path()
    sources = [*(PACKAGE / name for name in SOURCES), *([library] if library else [])]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    chosen = Path(os.environ.get("NUMBA_CACHE_DIR") or home / "ilsvrc")
    for folder in (chosen, Path(tempfile.gettempdir()) / f"ilsvrc-{os.getuid()}"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / digest).mkdir(exist_ok=True)
        except OSError:
            continue
        if _is_private(folder) and _is_private(folder / digest):
            return folder / digest
    return Path(tempfile.mkdtemp(prefix="ilsvrc-"))


def _is_private(folder: Path) -> bool:
    """True if no other user can write there: the cache's content is executed."""
    found = folder.stat()
    return os.access(folder, os.W_OK) and found.st_uid == os.getuid() and not found.st_mode & stat.S_IWOTH


def _without_lost_files(folder: Path) -> Path:
    """The cache's folder; what a loss of power left empty or zeroed in it is removed: numba would stop there."""
    for path in folder.glob("*/*.nb[ci]"):
        with path.open("rb") as file:
            lost = not file.read(HEAD_BYTES).strip(b"\0")
        if lost:
            path.unlink(missing_ok=True)
    return folder


CONFIG: Any = numba.config
CONFIG.CACHE_DIR = str(_without_lost_files(_cache_folder()))
# tbb or omp: numba's own pool, workqueue, aborts the process where two loaders run at once
CONFIG.THREADING_LAYER = "threadsafe"


def njit(**options: Any) -> Callable[[Kernel], Kernel]:
    """`numba.njit` without the interpreter's lock and with the cache; the function keeps its type."""
    decorator: Callable[[Kernel], Kernel] = numba.njit(nogil=True, cache=True, **options)
    return decorator


def run(kernel: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a kernel. One process compiles it at its first call; others wait for that, and read the cache.

    Once it is in the cache, processes read it side by side.
    """
    if kernel in _compiled:
        return kernel(*arguments)
    cached = Path(CONFIG.CACHE_DIR) / f"{kernel.__module__}.{kernel.__name__}.cached"
    lock = None if cached.exists() else _compile_lock()
    try:
        result = kernel(*arguments)
        cached.touch()
    finally:
        if lock:
            lock.release()
    _compiled.add(kernel)
    return result


def _compile_lock() -> "BaseFileLock | None":
    """The lock of the cache, held; None on a file system without locks, where each process compiles for itself."""
    try:
        return locks.wait_for_lock(Path(CONFIG.CACHE_DIR) / "compile.lock")
    except OSError:
        return None


def c_function(name: str, address: int | None, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A C function by its symbol's name, so that its callers can be cached."""
    assert address is not None
    llvmlite.binding.add_symbol(name, address)
    function: Callable[..., Any] = types.ExternalFunction(name, result(*arguments))
    return function


def num_threads(wanted: int) -> int:
    """`wanted`, or as many as this process may use."""
    return max(1, min(wanted, int(CONFIG.NUMBA_NUM_THREADS)))
