"""Signals that stop a training: before it begins, while its processes meet, and in it. Never imports torch."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopSignal:
    """Signals that end a training; it goes on until its next check, and a checkpoint."""

    def __init__(self) -> None:
        self.received = False
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def give_way(self) -> None:
        """Lets SIGTERM end this process, which has failed: the launcher sends it to all after one that died."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.received:
            sys.exit(1)


def end_at_once(message: str = "") -> None:
    """Lets the signals end this process with status 75, and a line, until something else takes them."""

    def end(number: int, frame: FrameType | None) -> None:
        with suppress(OSError):
            os.write(2, message.encode())
        os._exit(os.EX_TEMPFAIL)  # in the middle of an import, where nothing has been done that is to be undone

    for number in SIGNALS:
        signal.signal(number, end)


@contextmanager
def left_to_the_kernel() -> Iterator[None]:
    """Lets the kernel end this process, in a wait that never comes back to Python."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
