"""Costs of a network on this machine, whatever its weights: counts, a training step's memory, and passes on noise."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from ilsvrc.artifacts.manifest import Manifest, StoredBytes
from ilsvrc.config import registry, specs
from ilsvrc.config.cost_specs import CostSpec, Step
from ilsvrc.config.recipe import Recipe
from ilsvrc.evaluation.predict_split import chosen_device
from ilsvrc.models.common import flops
from ilsvrc.models.common.layers import Classifier
from ilsvrc.profiling import energy, inference
from ilsvrc.profiling.cost_files import CostFile, NotMeasured, TestCosts, TrainingMemory, TrainingNotMeasured
from ilsvrc.profiling.training_memory import peak
from ilsvrc.runtime import files, hardware, precision
from ilsvrc.runtime.distributed import World
from ilsvrc.training import build
from ilsvrc.training.state import Training


@dataclass(frozen=True)
class CostJob:
    """A measurement: `spec` is a CostSpec as JSON, `source` the JSON file that lists the classes."""

    spec: str
    source: Path
    output: Path
    threads: int
    gpus: int


@dataclass(frozen=True)
class Network:
    """An architecture as it is measured: with `num_classes` outputs, for images of `crop_px` x `crop_px` px."""

    architecture: str
    crop_px: int
    num_classes: int
    step: Step | None  # None: pretrained

    def build(self) -> Classifier:
        """The network, with its recipe's dropout where it has one."""
        return build.build(train_spec(self, self.step), self.num_classes) if self.step else self.build_plain()

    def build_plain(self) -> Classifier:
        """The network by its builder's defaults."""
        made: Classifier = registry.architecture(self.architecture)(num_classes=self.num_classes, input_px=self.crop_px)
        return made


def measure_network(job: CostJob) -> CostFile:
    """Measures a network and writes the file of costs."""
    spec, source = specs.parse_specification(CostSpec, job.spec), files.read_json(job.source)
    num_classes = len(source["classes"])
    network = Network(spec.architecture, spec.crop_px or int(source["crop_px"]), num_classes, spec.step)
    torch.set_num_threads(job.threads)
    with hardware.claimed_gpus(job.gpus) as gpus:
        device = chosen_device(gpus)
        counter = energy_counter(device)
        measured = CostFile(
            spec=json.loads(job.spec),
            architecture=network.architecture,
            crop_px=network.crop_px,
            num_classes=num_classes,
            **counts(network),
            training=training_memory(network, device),
            tests=[test(network, name, device, counter) for name in spec.precisions],
            **machine(device, job.threads, counter),
        )
    measured.write(job.output)
    return measured


def counts(network: Network) -> dict[str, int]:
    """Parameters, multiply-adds and activations at test time, as `describe` counts them."""
    with torch.device("meta"):
        complexity = flops.count(network.build(), network.crop_px)
    return {name: getattr(complexity, name) for name in ("parameters", "multiply_adds", "activations")}


def test(network: Network, name: str, device: torch.device, counter: energy.Counter | str) -> TestCosts | NotMeasured:
    """Costs of forward passes in the precision `name`, or why there are none."""
    if name == "bfloat16" and not precision.has_bfloat16(device):
        why_not = f"this {device.type} has no bfloat16 arithmetic: it would be emulated"
        return NotMeasured(precision=name, why_not=why_not)
    built = inference.cast_weights(network.build_plain(), precision.LOWER.get(name))
    built = built.to(device).to(memory_format=torch.channels_last).eval()
    passes = inference.Pass(built, network.crop_px, device, precision.autocast(name, device))
    try:
        return inference.measure(passes, name, free_bytes(device), counter)
    except RuntimeError as error:  # memory, or an operation that the precision lacks
        return NotMeasured(precision=name, why_not=first_line(error))


def training_memory(network: Network, device: torch.device) -> TrainingMemory | TrainingNotMeasured:
    """Peak memory of a step of the recipe's batch in one process, or why it is not known."""
    step = network.step
    if step is None:
        return TrainingNotMeasured(why_not="not trained here")
    try:
        chosen = precision.choose(step.precision, device)
        prepare = partial(prepared, network, step, chosen, World(device=device))
        free = inference.MEMORY_SHARE * free_bytes(device)
        measured = peak(prepare, step.batch_size, network.crop_px, free)
    except (ValueError, RuntimeError) as error:
        return TrainingNotMeasured(batch_size=step.batch_size, optimizer=step.optimizer, why_not=first_line(error))
    return TrainingMemory(
        batch_size=step.batch_size,
        optimizer=step.optimizer,
        precision=chosen,
        peak_bytes=measured.num_bytes,
        extended_from=measured.extended_from,
    )


def prepared(network: Network, step: Step, chosen_precision: str, world: World, batch_size: int) -> Training:
    """The training as it starts, in batches of `batch_size`."""
    manifest = noise_manifest(network.num_classes)
    return build.prepare(train_spec(network, step, batch_size), manifest, 1, world, chosen_precision)


def noise_manifest(num_classes: int) -> Manifest:
    """The manifest of images that are noise around the middle grey."""
    return Manifest(
        spec=specs.FormSpec(data="noise"),
        split="train",
        classes=[str(number) for number in range(num_classes)],
        counts={},
        num_images=0,
        content_sha256="",
        num_measured=0,
        mean=[127.5] * 3,
        std=[127.5] * 3,
        eigenvalues=[1.0] * 3,
        eigenvectors=torch.eye(3).tolist(),
        stored={},
        stored_bytes=StoredBytes(min=0, max=0, mean=0.0),
        bad_images={},
    )


def train_spec(network: Network, step: Step, batch_size: int | None = None) -> specs.TrainSpec:
    """A training that holds what the recipe's would: its other values settle no memory."""
    size = batch_size or step.batch_size
    values = step.model_dump() | {"batch_size": size}
    if step.batch_norm_group and size % min(step.batch_norm_group, size):
        values["batch_norm_group"] = None
    recipe = Recipe(epochs=1, learning_rate=1e-3, initialization="he_normal", **values)
    form = specs.FormSpec(data="noise")
    return specs.TrainSpec(form=form, architecture=network.architecture, crop_px=network.crop_px, recipe=recipe)


def energy_counter(device: torch.device) -> energy.Counter | str:
    """The machine's counter of joules, or why it has none."""
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else ""
    return energy.counter(device.type, uuid)


def free_bytes(device: torch.device) -> int:
    """Memory that the device has left."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)


def machine(device: torch.device, threads: int, counter: energy.Counter | str) -> dict[str, Any]:
    """Fields of a file of costs on the machine that it was measured on."""
    return {
        "device": device.type,
        "threads": threads,
        "energy": counter if isinstance(counter, str) else counter.source,
        "hardware": hardware.describe(int(device.type == "cuda")),
        "versions": hardware.versions(),
        **hardware.commit(),
    }


def first_line(error: Exception) -> str:
    """A message without what libraries add below it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
