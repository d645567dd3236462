"""On PYTHONPATH, this makes trainings keep a checkpoint after every step, and leave MLflow alone, whose import is slow.

It stands here so that the product has no switch for it. With CHECKPOINTS=as_ever, checkpoints are as they always are.
With LONGEST_WAIT, processes wait for each other so many seconds at most.
"""

import os
import sys
from datetime import timedelta
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder


def often(module):
    assert module.SECONDS_BETWEEN_CHECKPOINTS and module.SECONDS_BETWEEN_CHECKS
    module.SECONDS_BETWEEN_CHECKPOINTS = module.SECONDS_BETWEEN_CHECKS = 0.0


def impatient(module):
    assert module.LONGEST_WAIT
    module.LONGEST_WAIT = timedelta(seconds=float(os.environ["LONGEST_WAIT"]))


CHANGES = {}
if os.environ.get("CHECKPOINTS") != "as_ever":
    CHANGES["ilsvrc.training.health_checks"] = often
if "LONGEST_WAIT" in os.environ:
    CHANGES["ilsvrc.runtime.distributed"] = impatient


class Finder(MetaPathFinder):
    """Finds the module as Python does, and changes its constants once it has run."""

    def find_spec(self, name, path, target=None):
        spec = PathFinder.find_spec(name, path) if name in CHANGES else None
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            CHANGES[name](module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
sys.modules["mlflow"] = None
