"""The loader of a network from MLflow's registry: `mlflow.pyfunc.load_model("models:/flowers17.alexnet@best")`.

Versions in the registry name this module, and MLflow calls `_load_pyfunc`.
"""

from pathlib import Path

from ilsvrc.evaluation.served_model import Served
from ilsvrc.runtime import files


def _load_pyfunc(path: str) -> Served:
    return Served(files.read_json(Path(path)))
