"""Registration of scored runs in MLflow's model registry."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.evaluation import headline_metric, prediction_file, scores
from ilsvrc.runtime import hardware
from ilsvrc.tracking import mlflow_runs, registry

LOADER = "ilsvrc.stages._served"
PACKAGES = ("torch", "torchvision", "timm", "numpy")  # beside this one


def register(rows: Sequence[scores.Row], protocol: str) -> None:
    """Registers each run that MLflow knows; those of an architecture are compared by `protocol`."""
    by = headline_metric.from_columns({key for row in rows for key in row})
    models = list(models_of(rows, protocol, by))
    if models:
        versions = hardware.versions()
        packages = [f"{name}=={versions[name]}" for name in PACKAGES if versions.get(name)]
        registry.register(models, LOADER, packages, by.highest_is_best, is_there)


def models_of(rows: Iterable[scores.Row], protocol: str, by: headline_metric.Measure) -> Iterator[registry.Model]:
    """The networks of rows of scores by `protocol`."""
    for row in rows:
        if row["protocol"] == protocol and not scores.is_ensemble(row) and (run_id := mlflow_run(row["run"])):
            yield describe(row, by, run_id)


def describe(row: scores.Row, by: headline_metric.Measure, run_id: str) -> registry.Model:
    """The registry's entry of a run's network."""
    folder = run_files.RUNS / row["run"]
    weights = WeightsInfo.read(folder / "weights.json")
    identity = {"weights_sha256": weights.weights_sha256, "folder": str(folder.absolute())}
    tested = prediction_file.about(prediction_file.prediction_file(row["run"], row["protocol"]))["spec"]
    tags = {
        **identity, "run": row["run"], "architecture": row["architecture"], "dataset": row["dataset"],
        "protocol": row["protocol"], "measure": by.column, "test_images": str(tested["manifest_sha256"]),
    }  # fmt: skip
    return registry.Model(
        name=f"{row['dataset']}.{row['architecture']}",
        run_id=run_id,
        title=f"{row['run']}: {by.title} {row[by.column]:.2f} % by {row['protocol']}, n = {row['num_images']}",
        pointer={**identity, "run": row["run"], "protocol": row["protocol"]},
        tags=tags,
        value=row[by.column],
        num_classes=weights.num_classes,
        protocol=row["protocol"],
    )


def is_there(folder: str, weights_sha256: str) -> bool:
    """True if a run's folder is on this machine and describes these weights."""
    path = Path(folder) / "weights.json"
    return path.exists() and WeightsInfo.read(path).weights_sha256 == weights_sha256


def mlflow_run(run: str) -> str | None:
    """The id of a training's run in MLflow, None where it was trained elsewhere."""
    return mlflow_runs.kept_id(Path("work") / run_files.run_key(run) / "mlflow_run")
