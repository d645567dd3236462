"""run.json: provenance of a run's weights, with machine, versions and commit. Never imports torch."""

from typing import ClassVar

from ilsvrc.artifacts.json_record import Name, RunRecord


class RunInfo(RunRecord):
    """Provenance of a run: a training's figures, or the source of imported weights."""

    noun: ClassVar[str] = "a run's run.json"

    run: str
    dataset: str
    architecture: str
    recipe_name: str
    seed: int
    finished: str | None = None  # ISO 8601, UTC
    epochs: int | None = None
    train_seconds: float | None  # None of imported weights
    images_per_second: float | None

    # the machine's choices, of a training
    processes: int | None = None
    threads: int | None = None
    precision: str | None = None
    loader: str | None = None
    gpus: int | None = None
    accumulate: int | None = None
    device: str | None = None
    resumed: int | None = None  # times that it was resumed
    compile: str | None = None  # on or off

    hardware: str
    versions: dict[str, str]
    commit: str | None  # None outside git
    dirty: bool | None

    num_images: int | None = None  # of an epoch of training
    reported_epoch: int | None = None  # whose weights are kept

    # the source of imported weights
    source: Name | None = None
    file: Name | None = None
    file_sha256: str | None = None
    class_order: str | None = None
    address: str | None = None
    tested_with: dict[str, str | int | float | None] | None = None  # how the library tests them, and its errors
    normalization_is: str | None = None

    parameters: int | None = None  # runs of early versions do not say it
    multiply_adds: int | None = None

    @property
    def is_trained_here(self) -> bool:
        """True of a training, False of imported weights."""
        return self.source is None
