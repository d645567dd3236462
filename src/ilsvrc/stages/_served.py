"""A network out of MLflow's registry: `mlflow.pyfunc.load_model("models:/flowers17.alexnet@best")`.

MLflow calls `_load_pyfunc`. The weights stay where the run left them, in a folder that DVC versions.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ilsvrc.artifacts import run_files
from ilsvrc.evaluation import compatibility, load_network
from ilsvrc.evaluation.predictor import Predictor
from ilsvrc.runtime import files
from ilsvrc.stages import classify


def _load_pyfunc(path: str) -> "Served":
    return Served(files.read_json(Path(path)))


class Served:
    """Predicts photographs as `classify` does.

    Args:
        pointer: `run`, `folder` (absolute), `weights_sha256`, `protocol`.

    Raises:
        ValueError: the weights are neither in `folder` nor in the working directory's results/runs, or are others.
    """

    def __init__(self, pointer: files.Info) -> None:
        self.protocol = pointer["protocol"]
        self.folder = folder_of(pointer)
        self.weights = files.read_json(self.folder / "weights.json")
        if self.weights["weights_sha256"] != pointer["weights_sha256"]:
            raise ValueError(
                f"{self.folder} holds other weights than those that were registered: it was trained anew, and a later "
                "version has them; `dvc checkout` of the commit before brings back these"
            )
        self._predictors: dict[str, Predictor] = {}
        self._predictor(self.protocol)

    def predict(self, pictures: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Class probabilities, float32: a row a picture, a column a class.

        Args:
            pictures: RGB pixels uint8 `[N, H, W, 3]`; a path of a photograph, or a list of paths (`get_raw_model`
                gives this object, whose `predict` takes them: what MLflow checks is the signature's pixels).
            params: `protocol`, a name of protocols/.
        """
        protocol = (params or {}).get("protocol", self.protocol)
        named = [pictures] if isinstance(pictures, (str, Path)) else pictures
        given = [Path(one).read_bytes() if isinstance(one, (str, Path)) else np.asarray(one) for one in named]
        predictor = self._predictor(protocol)
        rows = [classify.probabilities_of(predictor, self.weights, one, protocol) for one in given]
        return pd.DataFrame(np.stack(rows), columns=self.weights["classes"])

    def get_raw_model(self) -> "Served":
        """What MLflow's wrapper wraps."""
        return self

    def _predictor(self, protocol: str) -> Predictor:
        """The network, ready for the protocol's views."""
        if protocol not in self._predictors:
            views = compatibility.views(self.weights, [protocol])
            path = self.folder / "weights.safetensors"
            made = load_network.predictor(self.weights, path, torch.device("cpu"), "float32", views)
            self._predictors = {protocol: made}
        return self._predictors[protocol]


def folder_of(pointer: files.Info) -> Path:
    """Where the weights lie: where they lay at registration, or under the working directory."""
    places = [Path(pointer["folder"]), run_files.RUNS / pointer["run"]]
    for folder in places:
        if (folder / "weights.json").exists() and (folder / "weights.safetensors").exists():
            return folder
    raise ValueError(
        f"the weights of {pointer['run']} are not in {places[0]}, nor under {places[1].absolute()}; "
        "`make pull` in the project's folder fetches them, or predict from another folder that has them"
    )
