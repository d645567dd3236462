"""A network from MLflow's registry, which predicts photographs as `ilsvrc classify` does.

The weights stay in the run's folder, which DVC versions; the registry holds a pointer to them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.evaluation import classify
from ilsvrc.evaluation.classify import Member


class Served:
    """Network that predicts photographs as `ilsvrc classify` does.

    Args:
        pointer: `run`, `folder` (absolute), `weights_sha256`, `protocol`.

    Raises:
        ValueError: the weights are neither in `folder` nor in the working directory's results/runs, or are others.
    """

    def __init__(self, pointer: Mapping[str, str]) -> None:
        self.protocol: str = pointer["protocol"]
        self.folder = folder_of(pointer)
        self.weights = WeightsInfo.read(self.folder / "weights.json")
        if self.weights.weights_sha256 != pointer["weights_sha256"]:
            raise ValueError(
                f"{self.folder} holds other weights than those that were registered: it was trained anew, and a later "
                "version has them; `dvc checkout` of the commit before brings back these"
            )
        self._members: dict[str, Member] = {}
        self._member(self.protocol)

    def predict(self, pictures: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Class probabilities, float32: a row for each image, a column for each class.

        Args:
            pictures: RGB pixels uint8 `[N, H, W, 3]`; a path of a photograph, or a list of paths (`get_raw_model`
                gives this object, whose `predict` takes them: what MLflow checks is the signature's pixels).
            params: `protocol`, a name of protocols/.
        """
        protocol: str = (params or {}).get("protocol", self.protocol)
        named = [pictures] if isinstance(pictures, (str, Path)) else pictures
        images = [Path(one).read_bytes() if isinstance(one, (str, Path)) else np.asarray(one) for one in named]
        member = self._member(protocol)
        rows = [classify.probabilities_by_protocol(member, image, [protocol])[0] for image in images]
        return pd.DataFrame(np.stack(rows), columns=self.weights.classes)

    def get_raw_model(self) -> "Served":
        """This object, which MLflow's wrapper wraps."""
        return self

    def _member(self, protocol: str) -> Member:
        """The network, ready for the protocol's views."""
        if protocol not in self._members:
            self._members = {protocol: classify.load_weights(self.folder, self.weights, [protocol])}
        return self._members[protocol]


def folder_of(pointer: Mapping[str, str]) -> Path:
    """Folder of the weights: that of the registration, or the same run's under the working directory.

    Raises:
        ValueError: the weights are in neither.
    """
    places = [Path(pointer["folder"]), run_files.RUNS / pointer["run"]]
    for folder in places:
        if (folder / "weights.json").exists() and (folder / "weights.safetensors").exists():
            return folder
    raise ValueError(
        f"the weights of {pointer['run']} are not in {places[0]}, nor under {places[1].absolute()}; "
        "`make pull` in the project's folder fetches them, or predict from another folder that has them"
    )
