"""A trained network in int8 on the CPU: its costs, and its error beside that of float32 on the same images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ilsvrc.artifacts import manifest, run_files
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.evaluation import load_network, multilabel_metrics, task
from ilsvrc.evaluation.inspection import central_crops
from ilsvrc.evaluation.task import SingleLabel, Task
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.packing.beton import open_packed
from ilsvrc.profiling import energy, inference, int8
from ilsvrc.profiling.cost_files import Int8Costs, Int8File, NotMeasured, costs_text
from ilsvrc.profiling.network import free_bytes, machine
from ilsvrc.runtime import progress

CALIBRATION_IMAGES = 256  # of the training split: test images choose nothing
MAX_TESTED = 10_000
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Int8Job:
    """A measurement of a run's network in int8: its weights, and the packed splits to calibrate with and to test on."""

    run: str
    weights: Path
    weights_info: Path
    train: Path
    val: Path
    output: Path
    threads: int
    loader: str


@dataclass(frozen=True)
class Measure:
    """A sum over images of logits `[N, K]` and packed labels `[N]`; `name` is top1_error or f2."""

    name: str
    sum: Callable[[Tensor, Tensor], float]


def measure_run(job: Int8Job) -> Int8File:
    """Measures a run's network in int8 and writes the file of costs."""
    torch.set_num_threads(job.threads)
    weights = WeightsInfo.read(job.weights_info)
    run_files.check_key(job.run, weights, job.weights_info)
    network, normalize = load_network.trained(weights, job.weights)
    counter = energy.rapl()
    tested = test(job, network.to(memory_format=torch.channels_last).eval(), normalize, weights.crop_px, counter)
    measured = Int8File(
        run=job.run,
        weights_sha256=weights.weights_sha256,
        architecture=weights.made_from.architecture,
        crop_px=weights.crop_px,
        num_classes=weights.num_classes,
        tests=[tested],
        **machine(CPU, job.threads, counter),
    )
    measured.write(job.output)
    return measured


def test(
    job: Int8Job, network: nn.Module, normalize: Normalization, crop_px: int, counter: energy.Counter | str
) -> Int8Costs | NotMeasured:
    """Costs and errors, or why the network has no int8 form."""
    calibration = images(job, job.train, CALIBRATION_IMAGES, crop_px)
    try:
        made = int8.quantize(network, (normalize(batch) for batch, _ in calibration))
    except ValueError as error:
        return NotMeasured(precision="int8", why_not=str(error))
    costs = inference.measure(inference.Pass(made.network, crop_px, CPU), "int8", free_bytes(CPU), counter)
    measure = measure_of(task.from_manifest(Manifest.read(manifest.beside(job.val))))
    errors, num_images = mean_errors(job, {"int8": made.network, "float32": network}, measure, normalize, crop_px)
    return Int8Costs(
        **dict(costs),
        int8_layers=made.int8_layers,
        layers=made.layers,
        calibration_images=CALIBRATION_IMAGES,
        **{f"{name}_{measure.name}_percent": error for name, error in errors.items()},
        protocol=central_crops.PROTOCOL,
        num_images=num_images,
    )


@torch.inference_mode()
def mean_errors(
    job: Int8Job, networks: Mapping[str, nn.Module], measure: Measure, normalize: Normalization, crop_px: int
) -> tuple[dict[str, float], int]:
    """Each network's `measure` in percent by one central crop, and of how many of the test images."""
    sums, total = dict.fromkeys(networks, 0.0), 0
    tested = min(MAX_TESTED, open_packed(job.val).num_images)
    with progress.bar("int8", tested) as shown:
        for batch, labels in images(job, job.val, MAX_TESTED, crop_px):
            normalized = normalize(batch)
            for name, network in networks.items():
                sums[name] += measure.sum(network(normalized), labels)
            total += len(labels)
            shown.update(len(labels))
    return {name: 100 * each / total for name, each in sums.items()}, total


def measure_of(of: Task) -> Measure:
    """The top-1 error, or F2 of a multi-label task."""
    if isinstance(of, SingleLabel):
        return Measure("top1_error", lambda logits, labels: float((logits.argmax(dim=1) != labels).sum()))

    def f2(logits: Tensor, labels: Tensor) -> float:
        probabilities, targets = of.activation(logits).numpy(), of.targets(labels.numpy())
        return float(multilabel_metrics.f2_of_images(probabilities, targets).sum())

    return Measure("f2", f2)


def images(job: Int8Job, beton: Path, num_images: int, crop_px: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of up to `num_images`, evenly spread over the file: uint8 `[N, H, W, 3]` and labels `[N]`."""
    chosen = central_crops.spread(beton, num_images)
    for batch, labels, _ in central_crops.central(job.loader, beton, chosen, crop_px, job.threads):
        yield batch, labels


def text(tested: Int8Costs | NotMeasured) -> str:
    """Costs, and `, error 2.8 % (float32 2.3 %), n = 355` or F2, or why not."""
    if isinstance(tested, NotMeasured):
        return costs_text(tested)
    name, quantized, floats = "error", tested.int8_top1_error_percent, tested.float32_top1_error_percent
    if tested.int8_f2_percent is not None:
        name, quantized, floats = "F2", tested.int8_f2_percent, tested.float32_f2_percent
    return f"{costs_text(tested)}, {name} {quantized:.1f} % (float32 {floats:.1f} %), n = {tested.num_images}"
