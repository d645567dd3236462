"""Scripts run by several processes that meet, as a training's do."""

import sys
from pathlib import Path

import small_training

from ilsvrc.runtime.worker_processes import Workers, meeting_on_this_machine


def run_script(script: str, *words: str, processes: int, folder: Path) -> None:
    """Runs `script` with `words` by so many processes, which meet in `folder`, to the end."""
    path = str(Path(small_training.__file__).parent)
    with meeting_on_this_machine(folder) as meeting:
        environment = small_training.environment(OMP_NUM_THREADS="1", PYTHONPATH=path) | meeting
        status = Workers().run([sys.executable, script, *words], environment, range(processes), processes)
    assert status == 0
    assert not list(folder.glob("meeting*"))
