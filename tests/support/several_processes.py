"""Scripts run by several processes that meet, as a training's do.

They are forks of one process that has imported torch, which takes longer than most scripts.
"""

import multiprocessing
import os
import runpy
import sys
from multiprocessing.connection import wait
from pathlib import Path

from ilsvrc.runtime.worker_processes import meeting_on_this_machine

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "torchvision", "ilsvrc.training.loop", "ilsvrc.loading.batches"])


def run_script(script: str, *words: str, processes: int, folder: Path) -> None:
    """Runs `script` with `words` by so many processes, which meet in `folder`, to the end."""
    with meeting_on_this_machine(folder) as meeting:
        started = [
            CONTEXT.Process(target=_run, args=(script, words, _environment(meeting, rank, processes)))
            for rank in range(processes)
        ]
        for process in started:
            process.start()
        running = {process.sentinel: process for process in started}
        while running:
            for sentinel in wait(running):
                if running.pop(sentinel).exitcode:
                    for other in running.values():
                        other.kill()
    assert [process.exitcode for process in started] == [0] * processes
    assert not list(folder.glob("meeting*"))


def _environment(meeting: dict[str, str], rank: int, processes: int) -> dict[str, str]:
    placed = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
    return {"CUDA_VISIBLE_DEVICES": "", **meeting, **{name: str(number) for name, number in placed.items()}}


def _run(script: str, words: tuple[str, ...], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    sys.path.insert(0, str(Path(__file__).parent))
    sys.argv = [script, *words]
    runpy.run_path(script, run_name="__main__")
