import os
import signal
import threading
import time
from multiprocessing import active_children

import pytest

from ilsvrc.packing import workers


@pytest.mark.parametrize("error", [RuntimeError("no such thing"), MemoryError(), OSError(5, "the disk is gone")])
def test_an_error_in_a_worker_reaches_the_caller_and_ends_the_others(packer, photos, monkeypatch, error: Exception):
    def fails(content, form, measured):
        raise error

    monkeypatch.setattr(workers, "store", fails)
    with pytest.raises(type(error)) as raised:
        packer(photos * 4, workers=2)
    assert raised.value.args == error.args
    assert not active_children()


def test_one_killed_worker_ends_the_others_whatever_they_are_at(packer, photos, monkeypatch):
    """The others sleep, and would not take part in an orderly end; the parent's way with SIGTERM is not theirs."""

    def sleeps(content, form, measured):
        time.sleep(60)

    monkeypatch.setattr(workers, "store", sleeps)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    started = time.monotonic()
    killer = threading.Thread(target=_kill_one_of, args=(2,), daemon=True)
    killer.start()
    try:
        with pytest.raises(OSError, match="a worker was killed"):
            packer(photos * 4, workers=2)
    finally:
        signal.signal(signal.SIGTERM, before)
        killer.join()
    assert time.monotonic() - started < 30
    assert not active_children()


def _kill_one_of(number: int) -> None:
    while len(found := active_children()) < number:
        time.sleep(0.02)
    time.sleep(0.5)  # they are at work
    os.kill(found[0].pid, signal.SIGKILL)
