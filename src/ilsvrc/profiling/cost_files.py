"""Files of measured costs: a network's, and a trained network's in int8. Never imports torch."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from ilsvrc.artifacts.json_record import JsonRecord
from ilsvrc.profiling.timing import Latency


class Record(BaseModel):
    """A part of such a file."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class NotMeasured(Record):
    """The reason why a network was not measured in a precision."""

    precision: str
    why_not: str


class TestCosts(Record):
    """Costs of forward passes in a precision: latency at batch 1, throughput at the best batch, memory, energy."""

    __test__: ClassVar[bool] = False  # for pytest

    precision: str
    latency: Latency
    images_per_second: float
    best_batch: int
    tried_batches: dict[int, float]  # images a second by batch size
    weight_bytes: int
    peak_bytes: int
    best_batch_peak_bytes: int
    joules_an_image: float | None  # None where the machine has no counter
    best_batch_joules_an_image: float | None
    spread: float | None = None  # how much slower the second fastest repetition is; files of early versions lack it
    other_cores: float | None = None  # cores that other processes kept busy meanwhile
    busy_machine: bool = False  # the spread or the others' load is too large for the figures to hold


class Int8Costs(TestCosts):
    """Costs in int8, and the errors beside those in float32: top-1 errors, or F2 of multi-label data."""

    int8_layers: int
    layers: int  # convolutions and linear layers
    calibration_images: int
    int8_top1_error_percent: float | None = None
    float32_top1_error_percent: float | None = None
    int8_f2_percent: float | None = None
    float32_f2_percent: float | None = None
    protocol: str
    num_images: int


class TrainingMemory(Record):
    """Peak memory of a training step; extrapolated from two smaller batches where `extended_from` names them."""

    batch_size: int
    optimizer: str
    precision: str
    peak_bytes: int
    extended_from: tuple[int, int] | None


class TrainingNotMeasured(Record):
    """The reason why a training step's memory is not known."""

    batch_size: int | None = None
    optimizer: str | None = None
    why_not: str


class CostFile(JsonRecord):
    """Costs of a network on a machine, whatever its weights."""

    noun: ClassVar[str] = "a file of costs"

    spec: dict[str, Any]  # a CostSpec, as it was given
    architecture: str
    crop_px: int
    num_classes: int
    parameters: int
    multiply_adds: int
    activations: int
    training: TrainingMemory | TrainingNotMeasured
    tests: list[TestCosts | NotMeasured]
    device: str
    threads: int
    energy: str
    hardware: str
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None


class Int8File(JsonRecord):
    """Costs and errors of a trained network in int8."""

    noun: ClassVar[str] = "a file of costs in int8"

    run: str
    weights_sha256: str
    architecture: str
    crop_px: int
    num_classes: int
    tests: list[Int8Costs | NotMeasured]
    device: str
    threads: int
    energy: str
    hardware: str
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None


def costs_text(tested: TestCosts | NotMeasured) -> str:
    """`float32 4.1 ms, 512 images/s in batches of 16`, or why not."""
    if isinstance(tested, NotMeasured):
        return f"{tested.precision} not: {tested.why_not}"
    milliseconds, rate = tested.latency.median_ms, tested.images_per_second
    text = f"{tested.precision} {milliseconds:.3g} ms, {rate:.3g} images/s in batches of {tested.best_batch}"
    return f"{text}{busy_text(tested)}"


def busy_text(tested: TestCosts) -> str:
    """` (busy machine: others took 1.5 cores, repetitions lie 34 % apart; ...)`, empty of a quiet machine."""
    if not tested.busy_machine:
        return ""
    load, spread = tested.other_cores or 0.0, 100 * (tested.spread or 0.0)
    return (
        f" (busy machine: others took {load:.1f} cores, repetitions lie {spread:.0f} % apart; `ilsvrc remeasure` "
        "measures again)"
    )
