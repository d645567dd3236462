"""Trained networks in MLflow's registry: a version for each run, the alias `best` for the best of each architecture.

A version holds no weights: a small file says where they lie, in a folder that DVC versions.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ilsvrc.tracking import mlflow_runs, mlflow_store

BEST = "best"
POINTER = "pointer.json"
EXAMPLE_PX = 32
SAME_TEST = ("measure", "protocol", "test_images")  # tags in which versions agree that are compared


class Model(NamedTuple):
    """A run's network, as it is registered.

    Attributes:
        name: of the registered model; its versions are runs of one architecture on one data set.
        run_id: the training's run in MLflow.
        title: of the version, for a person.
        pointer: what the loader finds the weights by.
        tags: weights_sha256, folder and `SAME_TEST` among them.
        value: of the measure, in percent.
        num_classes: width of what it predicts.
        protocol: by which it predicts, unless the caller names another.
    """

    name: str
    run_id: str
    title: str
    pointer: Mapping[str, Any]
    tags: Mapping[str, str]
    value: float
    num_classes: int
    protocol: str


@mlflow_runs.never_stops_training
def register(
    models: Iterable[Model], loader: str, packages: Sequence[str], highest_is_best: bool, is_there: Callable[..., bool]
) -> None:
    """Registers the models that are not registered yet, and sets the aliases.

    Args:
        models: the runs' networks.
        loader: module whose `_load_pyfunc(path)` makes a model of a pointer's file.
        packages: what a prediction takes, as pip names it.
        highest_is_best: of the measure.
        is_there: true if the weights of a version's `folder` are still those of its `weights_sha256`.
    """
    client, experiment = mlflow_store.connect()
    known = [model for model in models if mlflow_runs.knows(client, model.run_id)]
    for model in known:
        tags = {**model.tags, "value": repr(model.value)}
        version = _version_of(client, model)
        if version is not None:
            _retag(client, version, tags)
            continue
        _ensure_name(client, model.name)
        logged = _logged(client, experiment, model, loader, packages)
        client.create_model_version(
            model.name, _source(client, logged), model.run_id, tags, description=model.title, model_id=logged.model_id
        )
    for model in {model.name: model for model in known}.values():
        _point_at_best(client, model, highest_is_best, is_there)


def _version_of(client: Any, model: Model) -> Any:
    """The version that these weights are registered as, or None."""
    same = (v for v in _versions(client, model.name) if v.tags.get("weights_sha256") == model.tags["weights_sha256"])
    return next(same, None)


def _versions(client: Any, name: str) -> list[Any]:
    return list(client.search_model_versions(f"name = '{name}'", max_results=10_000))


def _retag(client: Any, version: Any, tags: Mapping[str, str]) -> None:
    """Updates the tags of weights that were tested again, or whose folder was moved."""
    for key, value in tags.items():
        if version.tags.get(key) != value:
            client.set_model_version_tag(version.name, version.version, key, value)


def _ensure_name(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _point_at_best(client: Any, model: Model, highest_is_best: bool, is_there: Callable[..., bool]) -> None:
    """Sets the alias to the best version of those tested like `model`, the first of equals."""
    alike = [
        version
        for version in _versions(client, model.name)
        if all(version.tags.get(key) == model.tags[key] for key in SAME_TEST)
        and not math.isnan(float(version.tags["value"]))
        and is_there(version.tags["folder"], version.tags["weights_sha256"])
    ]
    if not alike:
        return
    sign = -1 if highest_is_best else 1
    best = min(alike, key=lambda version: (sign * float(version.tags["value"]), int(version.version)))
    if str(client.get_registered_model(model.name).aliases.get(BEST)) != str(best.version):
        client.set_registered_model_alias(model.name, BEST, best.version)


def _source(client: Any, logged: Any) -> str:
    """Address of a version's files.

    A server takes no folder of another machine, so it gets the model's id; a database would look that id up in
    MLflow's store of the whole process, which need not be this client's.
    """
    if client.tracking_uri.startswith("sqlite"):
        return str(logged.artifact_location)
    return f"models:/{logged.model_id}"


def _logged(client: Any, experiment: str, model: Model, loader: str, packages: Sequence[str]) -> Any:
    """A new logged model under the training's run. Nothing is loaded or predicted for it."""
    import mlflow.pyfunc

    logged = client.create_logged_model(experiment, name=model.tags["architecture"], source_run_id=model.run_id)
    described = mlflow.models.Model(
        artifact_path=logged.artifact_location, run_id=model.run_id, model_id=logged.model_id,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        pointer = Path(folder) / POINTER
        pointer.write_text(json.dumps(model.pointer, indent=1))
        mlflow.pyfunc.save_model(
            Path(folder) / "model",
            loader_module=loader,
            data_path=str(pointer),
            mlflow_model=described,
            signature=_signature(model.num_classes, model.protocol),
            input_example=_example(),
            pip_requirements=list(packages),
        )
        client.log_model_artifacts(logged.model_id, str(Path(folder) / "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    return logged


def _signature(num_classes: int, protocol: str) -> Any:
    """Signature: images uint8 `[N, H, W, 3]` to probabilities float32 `[N, K]`, by a protocol that may be named."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, num_classes))]),
        params=ParamSchema([ParamSpec("protocol", "string", protocol)]),
    )


def _example() -> Any:
    """An example image: red grows to the right, green downwards."""
    import numpy as np

    steps = np.linspace(0, 255, EXAMPLE_PX).astype(np.uint8)
    red, green = np.broadcast_arrays(steps[None, :], steps[:, None])
    return np.stack([red, green, np.full_like(red, 128)], axis=-1)[None]
