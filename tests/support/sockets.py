"""Sockets on which processes listen."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import psutil

LOOPBACK = {"127.0.0.1", "::1"}


class Listening(NamedTuple):
    process: str
    address: str
    port: int


def listening(processes: Iterable[psutil.Process]) -> set[Listening]:
    """TCP sockets on which `processes` listen, from /proc/net/tcp and tcp6 by the inodes of their handles."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            for each in process.net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN:
                    found.add(Listening(" ".join(process.cmdline()[:4]), *each.laddr))
    return found


@contextmanager
def watched() -> Iterator[set[Listening]]:
    """Sockets on which any process below this one listens, looked for again and again."""
    found: set[Listening] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            found.update(listening(psutil.Process().children(recursive=True)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
