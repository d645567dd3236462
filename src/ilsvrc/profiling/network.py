"""Measures what `stages/cost.py` is asked for."""

import argparse
import json
from functools import partial
from typing import Any

import psutil
import torch

from ilsvrc.config import registry, specs
from ilsvrc.config.cost_specs import CostSpec
from ilsvrc.config.recipe import Recipe
from ilsvrc.evaluation.predict_split import chosen_device
from ilsvrc.models.common import flops
from ilsvrc.models.common.layers import Classifier
from ilsvrc.profiling import energy, inference
from ilsvrc.profiling.training_memory import peak
from ilsvrc.runtime import files, hardware, messages, precision
from ilsvrc.runtime.distributed import World
from ilsvrc.training import build
from ilsvrc.training.loop import Training

NOISE = {"mean": [127.5] * 3, "std": [127.5] * 3, "eigenvalues": [1.0] * 3, "eigenvectors": torch.eye(3).tolist()}


def measure_network(given: argparse.Namespace) -> None:
    """Measures the network of `--spec` for the classes of `--source`, and prints a line."""
    spec: CostSpec = specs.parse_specification(CostSpec, given.spec)
    source = files.read_json(given.source)
    num_classes = len(source["classes"])
    spec = spec.model_copy(update={"crop_px": spec.crop_px or source["crop_px"]})
    torch.set_num_threads(given.threads)
    with hardware.claimed_gpus(given.gpus) as gpus:
        device = chosen_device(gpus)
        counter = energy_counter(device)
        found = {
            "spec": json.loads(given.spec),
            "architecture": spec.architecture,
            "crop_px": spec.crop_px,
            "num_classes": num_classes,
            **counts(spec, num_classes),
            "training": training_memory(spec, num_classes, device),
            "tests": [test(spec, num_classes, name, device, counter) for name in spec.precisions],
            **machine(device, given.threads, counter),
        }
    files.write_text(given.output, json.dumps(found, indent=1) + "\n")
    messages.say(f"measured {spec.architecture} at {spec.crop_px} px: {'; '.join(map(in_words, found['tests']))}")


def counts(spec: CostSpec, num_classes: int) -> dict[str, int]:
    """Parameters, multiply-adds and activations at test time, as `describe` counts them."""
    with torch.device("meta"):
        found = flops.count(network_of(spec, num_classes), spec.crop_px)
    return {name: getattr(found, name) for name in ("parameters", "multiply_adds", "activations")}


def network_of(spec: CostSpec, num_classes: int) -> Classifier:
    """The network, with its recipe's dropout where it has one."""
    if spec.step is None:
        network: Classifier = registry.architecture(spec.architecture)(num_classes=num_classes, input_px=spec.crop_px)
        return network
    return build.build(train_spec(spec, spec.step.batch_size), num_classes)


def test(
    spec: CostSpec, num_classes: int, name: str, device: torch.device, counter: energy.Counter | str
) -> dict[str, Any]:
    """Costs of forward passes in a precision, or why there are none."""
    if name == "bfloat16" and not precision.has_bfloat16(device):
        return {"precision": name, "why_not": f"this {device.type} has no bfloat16 arithmetic: it would be emulated"}
    network = registry.architecture(spec.architecture)(num_classes=num_classes, input_px=spec.crop_px)
    if name in precision.LOWER:
        network = inference.cast_weights(network, precision.LOWER[name])
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    passes = inference.Pass(network, spec.crop_px, device, precision.autocast(name, device))
    try:
        return {"precision": name, **inference.measure(passes, free_bytes(device), counter)}
    except RuntimeError as error:  # memory, or an operation that the precision lacks
        return {"precision": name, "why_not": first_line(error)}


def training_memory(spec: CostSpec, num_classes: int, device: torch.device) -> dict[str, Any]:
    """The peak of a step of the recipe's batch in one process, or why it is not known."""
    if spec.step is None:
        return {"why_not": "not trained here"}
    about: dict[str, Any] = {"batch_size": spec.step.batch_size, "optimizer": spec.step.optimizer}
    try:
        number_format = precision.choose(spec.step.precision, device)
        prepare = partial(prepared, spec, num_classes, number_format, World(device=device))
        found = peak(prepare, spec.step.batch_size, spec.crop_px, inference.MEMORY_SHARE * free_bytes(device))
        return {**about, "precision": number_format, **found}
    except (ValueError, RuntimeError) as error:
        return {**about, "why_not": first_line(error)}


def prepared(spec: CostSpec, num_classes: int, number_format: str, world: World, batch_size: int) -> Training:
    """The training as it starts, in batches of `batch_size`."""
    manifest = {**NOISE, "classes": [str(number) for number in range(num_classes)]}
    return build.prepare(train_spec(spec, batch_size), manifest, 1, world, number_format)


def train_spec(spec: CostSpec, batch_size: int) -> specs.TrainSpec:
    """A training that holds what the recipe's would: its other values settle no memory."""
    step = spec.step.model_dump() | {"batch_size": batch_size}
    group = spec.step.batch_norm_group
    if group and batch_size % min(group, batch_size):
        step["batch_norm_group"] = None
    recipe = Recipe(epochs=1, learning_rate=1e-3, initialization="he_normal", **step)
    form = specs.FormSpec(data="noise")
    return specs.TrainSpec(form=form, architecture=spec.architecture, crop_px=spec.crop_px, recipe=recipe)


def energy_counter(device: torch.device) -> energy.Counter | str:
    """What counts joules here, or why nothing does."""
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else ""
    return energy.counter(device.type, uuid)


def free_bytes(device: torch.device) -> int:
    """Memory that the device has left."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)


def machine(device: torch.device, threads: int, counter: energy.Counter | str) -> files.Info:
    """What it was measured on."""
    return {
        "device": device.type,
        "threads": threads,
        "energy": counter if isinstance(counter, str) else counter.source,
        "hardware": hardware.describe(int(device.type == "cuda")),
        "versions": hardware.versions(),
        **hardware.commit(),
    }


def in_words(tested: files.Info) -> str:
    """`float32 4.1 ms, 512 images/s in batches of 16`, or why not."""
    name = tested["precision"]
    if "why_not" in tested:
        return f"{name} not: {tested['why_not']}"
    milliseconds, rate = tested["latency"]["median_ms"], tested["images_per_second"]
    return f"{name} {milliseconds:.3g} ms, {rate:.3g} images/s in batches of {tested['best_batch']}"


def first_line(error: Exception) -> str:
    """A message without what libraries add below it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
