"""Worker processes of a launcher: where they meet, and how they end together. Never imports torch."""

import fcntl
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ilsvrc.runtime import files, locks, parent_death

MEETING_FILE = "ILSVRC_MEETING_FILE"  # where workers of one machine meet
MEETING_ADDRESS = "ILSVRC_MEETING_ADDRESS"  # host:port, where workers of several nodes meet
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TP_SOCKET_IFNAME")  # that their messages go over
SECONDS_TO_END = 10.0  # for the others, after one that failed
SECONDS_TO_STOP = 600.0  # for the others, after one that stopped: the main one may still write a checkpoint
SECONDS_BETWEEN_LOOKS = 0.05
BYTES_OF_A_MEETING = 1 << 16  # more than a hundred processes write to its file


class Workers:
    """Worker processes of this machine. Where one ends before the others without success, they are ended."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.asked_to_stop = False

    def run(self, command: Sequence[str], environment: Mapping[str, str], ranks: range, size: int) -> int:
        """Runs `command` once for each of `ranks`, of `size` over all machines, to the end.

        Returns:
            The exit status, as a shell gives it, of the worker that ended first without success; 0 if none did.
        """
        own = {parent_death.PARENT: str(os.getpid()), "WORLD_SIZE": str(size)}
        try:
            for place, rank in enumerate(ranks):
                variables = {**environment, **own, "RANK": str(rank), "LOCAL_RANK": str(place)}
                self.processes.append(subprocess.Popen(command, env=variables))
            if self.asked_to_stop:  # while they were started
                self.stop()
            status = self._first_failure()
            if status:
                self._end(SECONDS_TO_STOP if status == os.EX_TEMPFAIL else SECONDS_TO_END)
            return status if status >= 0 else 128 - status
        finally:
            self._kill()

    def stop(self) -> None:
        """Asks all of them to stop."""
        self.asked_to_stop = True
        for process in self.processes:
            process.terminate()

    def _first_failure(self) -> int:
        while True:
            statuses = [process.poll() for process in self.processes]
            if None not in statuses or any(statuses):
                return next((status for status in statuses if status), 0)
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _end(self, seconds: float) -> None:
        for process in self.processes:
            process.terminate()
        deadline = time.monotonic() + seconds
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))

    def _kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextmanager
def meeting_on_this_machine(folder: Path) -> Iterator[dict[str, str]]:
    """Environment variables of processes that meet by a new file in `folder`, and talk over the loopback alone.

    What a person set stays. A file system without locks, which torch needs, or without room gives way to a temporary
    folder.
    """
    variables = {name: os.environ.get(name) or loopback() for name in INTERFACES}
    path = files.temporary_name(folder / "meeting")
    with ExitStack() as stack:
        if not _can_be_written(path):
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ilsvrc"))) / path.name
        stack.callback(path.unlink, missing_ok=True)
        yield variables | {MEETING_FILE: str(path.absolute())}


def loopback() -> str:
    """Name of the loopback interface: `lo`, or `lo0` on BSD and macOS."""
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in ("lo", "lo0") if name in names), "lo")


def _can_be_written(path: Path) -> bool:
    """False if the file system of `path`, which is made where it is not there, has no locks or no room."""
    try:
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(bytes(BYTES_OF_A_MEETING))
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno not in locks.NO_LOCKS and not files.is_of_full_disk(error):
            raise
        return False
    path.write_bytes(b"")  # as torch takes it
    return True
