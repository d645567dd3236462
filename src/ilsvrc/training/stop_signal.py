"""Signals that stop a training."""

import signal
import sys
from types import FrameType


class StopSignal:
    """Signals that end a training; it goes on until its next check, and a checkpoint."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def give_way(self) -> None:
        """Lets SIGTERM end this process, which has failed: torchrun sends it to all after one that died."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.received:
            sys.exit(1)
