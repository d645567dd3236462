"""Class probabilities of every test image, for any number of protocols at once: one decode, no view passed twice.

A protocol's name is its output's: `results/predictions/<run>/ten_crop.npz` is made by protocols/ten_crop.py. Several
processes share the images; this one starts them then, and writes what they found.
"""

import argparse
import csv
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from ilsvrc.artifacts import run_files
from ilsvrc.config import registry, specs
from ilsvrc.evaluation import compatibility, load_network, multilabel_metrics, multiprocess, predictions
from ilsvrc.evaluation.predictor import plan, predict, require_each_once
from ilsvrc.loading import view_batches
from ilsvrc.packing import beton
from ilsvrc.runtime import entry_point, files, hardware, messages, precision
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.files import Info


def main(given: argparse.Namespace) -> None:
    """Writes one file of predictions for each `--output`."""
    weights, manifest = files.read_json(given.weights_info), files.read_json(given.val_manifest)
    check(given, weights, manifest)
    protocols = {path.stem: registry.load("protocols", path.stem) for path in given.output}
    names, labels = image_names(given.images), beton.open_packed(given.val).labels
    started = time.perf_counter()
    with hardware.claimed_gpus(given.gpus) as gpus:
        found, times_seen, how = probabilities(given, gpus, tuple(protocols), (len(labels), weights["num_classes"]))
    require_each_once(times_seen)
    seconds = time.perf_counter() - started
    labels = targets(labels, manifest)
    for path, protocol in zip(given.output, protocols, strict=True):
        spec = specification(given.run, protocol, protocols[protocol].revision, weights, manifest)
        predictions.write_prediction(path, predictions.keep(found[protocol], labels, names, spec))
    messages.say(
        f"predicted {given.run} by {', '.join(protocols)}: {len(labels)} images of {how}, "
        f"{len(labels) / seconds:.0f} images/s"
    )


def probabilities(
    given: argparse.Namespace, gpus: Sequence[str], protocols: Sequence[str], shape: tuple[int, int]
) -> tuple[Mapping[str, np.ndarray], np.ndarray, str]:
    """Probabilities float32 of `shape` `[N, K]` by protocol, how often each image came `[N]`, and how, in words."""
    num_processes = given.processes or given.gpus or 1
    if num_processes > 1:
        return multiprocess.run(given, num_processes, gpus, protocols, shape)
    rows = {name: np.empty(shape, np.float32) for name in protocols}
    return rows, *forward(given, rows, World(device=chosen_device(gpus)))


def chosen_device(gpus: Sequence[str]) -> torch.device:
    """The first of the GPUs that are this job's, else the CPU; CUDA sees no other."""
    if not gpus:
        return torch.device("cpu")
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
    return torch.device("cuda")


def forward(given: argparse.Namespace, rows: Mapping[str, np.ndarray], world: World) -> tuple[np.ndarray, str]:
    """Fills this process's images' rows of each protocol; how often each image came `[N]`, and how, in words."""
    weights = files.read_json(given.weights_info)
    protocols = {name: registry.load("protocols", name) for name in rows}
    views = compatibility.views(weights, tuple(rows))
    steps = plan(views)
    number_format = tested_in(weights, given.precision, world.device)
    predictor = load_network.predictor(weights, given.weights, world.device, number_format, views)
    testing = view_batches.open_views(
        given.loader, given.val, views=steps.windows, rank=world.rank, world_size=world.size, workers=given.threads
    )
    torch.set_num_threads(given.threads)  # ffcv's import sets it to one
    with closing(testing):
        times_seen = predict(predictor, testing, steps, protocols, rows, shown=world.is_main)
    many = f" by {world.size} processes" if world.size > 1 else ""
    return times_seen, f"{len(steps.passes)} views, {number_format} on {world.device.type}{many}"


def asked_precision(weights: Info, machines: str) -> str:
    """The recipe's precision, for a network is tested as it was trained; where it leaves the choice, the machine's."""
    recipes = specs.made_from(weights).precision
    return machines if recipes == "auto" else recipes


def tested_in(weights: Info, machines: str, device: torch.device) -> str:
    """The precision of the test: what was trained in float16, which wants a GPU, is tested in float32 without one."""
    asked = asked_precision(weights, machines)
    return precision.choose("float32" if asked == "float16" and device.type == "cpu" else asked, device)


def check(given: argparse.Namespace, weights: Info, manifest: Info) -> None:
    """Stops where the weights are not the run's, or were trained on other data than the test split's.

    Raises:
        ValueError: names what does not belong together.
    """
    run_files.check_key(given.run, weights, given.weights_info)
    trained_on = {"data": weights["spec"]["form"]["data"], "split": "val", "classes": weights["classes"]}
    for name, value in trained_on.items():
        if {**manifest, "data": manifest["spec"]["data"]}[name] != value:
            raise ValueError(f"{given.run}: {name} of {given.val_manifest} is not what the run was trained for")
    if run_files.label_sets_sha256(manifest) != weights.get("label_sets_sha256"):
        raise ValueError(f"{given.run}: {given.val_manifest} numbers other sets of classes than the run was trained on")


def targets(labels: np.ndarray, manifest: Info) -> np.ndarray:
    """The classes `[N]` that packed labels stand for; where they number sets of classes uint8 `[N, K]`, 1 for each."""
    if "label_sets" not in manifest:
        return labels
    return multilabel_metrics.members(manifest["label_sets"], len(manifest["classes"]))[labels].astype(np.uint8)


def specification(run: str, protocol: str, revision: int, weights: Info, manifest: Info) -> Info:
    """What a file of predictions says of itself; `results.check_prediction` reads it."""
    return {
        "run_key": run_files.run_key(run),
        "protocol": protocol,
        "revision": revision,
        "weights_sha256": weights["weights_sha256"],
        "manifest_sha256": manifest["content_sha256"],
        "form": manifest["spec"],
        "classes": weights["classes"],
    }


def image_names(path: Path) -> np.ndarray:
    """Names of the test images `[N]`, in the packed file's order."""
    with path.open(newline="", errors="surrogateescape") as file:
        return np.array([row["name"].encode("utf-8", "replace").decode() for row in csv.DictReader(file)])


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--weights-info", type=Path, required=True, help="weights.json")
    parser.add_argument("--val", type=Path, required=True, help="packed test split")
    parser.add_argument("--val-manifest", type=Path, required=True, help="its manifest")
    parser.add_argument("--images", type=Path, required=True, help="its list of images")
    parser.add_argument("--output", type=Path, nargs="+", required=True, help="NPZ to write, <protocol>.npz each")
    parser.add_argument("--processes", type=int, default=0, help="that share the images; 0: one a GPU, or one on a CPU")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, over all processes")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs, 0 for the CPU")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float64")
    parser.add_argument("--loader", default="ffcv", help="ffcv, pillow or synthetic")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
