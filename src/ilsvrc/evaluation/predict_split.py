"""Class probabilities of every test image, for any number of protocols at once: one decode, no view passed twice.

A protocol's name is its output's: `results/predictions/<run>/ten_crop.npz` is made by protocols/ten_crop.py. Several
processes may share the images: the first one starts them and writes the predictions.
"""

import csv
import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.evaluation import compatibility, load_network, multiprocess, prediction_file, predictions, task
from ilsvrc.evaluation.load_protocol import load_protocol
from ilsvrc.evaluation.prediction_file import PredictionSpec
from ilsvrc.evaluation.predictor import plan, predict, require_each_once
from ilsvrc.loading import view_batches
from ilsvrc.packing import beton
from ilsvrc.runtime import distributed, files, hardware, precision
from ilsvrc.runtime.distributed import World

WORKER = "ilsvrc.stages.predict_worker"


@dataclass(frozen=True)
class PredictJob:
    """Arguments of a test: a trained network, a packed test split, and the files of predictions to write.

    `output` names a file for each protocol, `<protocol>.npz`. `processes` share the images; 0 stands for one a GPU, or
    one on a CPU. `threads` are CPU threads over all processes. `gpus` is 0 for the CPU.
    """

    run: str
    weights: Path
    weights_info: Path
    val: Path
    val_manifest: Path
    images: Path
    output: Sequence[Path]
    processes: int = 0
    threads: int = 1
    gpus: int = 0
    precision: str = "auto"
    loader: str = "auto"
    log: Path | None = None

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the test protocols."""
        return tuple(path.stem for path in self.output)


class Predicted(NamedTuple):
    """Summary of a test: run, protocols, number of images, the way in words, seconds, and protocols of kept files."""

    run: str
    protocols: tuple[str, ...]
    num_images: int
    how: str
    seconds: float
    kept: tuple[str, ...] = ()

    def line(self) -> str:
        """One line for a person."""
        done = f"{self.num_images} images of {self.how}, {self.num_images / self.seconds:.0f} images/s"
        kept = f"; {', '.join(self.kept)} kept as it was" if self.kept else ""
        return f"predicted {self.run} by {', '.join(self.protocols)}: {done}{kept}"


def predict_split(job: PredictJob) -> Predicted:
    """Writes a file of predictions for each of the job's outputs, less those that are there as this job writes them.

    Where all of them are, the job was forced, and writes them all again.

    Raises:
        ValueError: the weights, the split or a protocol do not belong together, or an image did not come exactly once.
    """
    weights, manifest = WeightsInfo.read(job.weights_info), Manifest.read(job.val_manifest)
    check(job.run, job.weights_info, weights, job.val_manifest, manifest)
    by_path = {path: specification(job.run, path.stem, weights, manifest) for path in job.output}
    missing = [path for path, spec in by_path.items() if not prediction_file.is_current(path, spec)]
    job = dataclasses.replace(job, output=missing or job.output)
    names, labels = image_names(job.images, manifest.num_images), beton.open_packed(job.val).labels
    started = time.perf_counter()
    with hardware.claimed_gpus(job.gpus) as gpus:
        rows, times_seen, how = probabilities(job, gpus, (len(labels), weights.num_classes))
    require_each_once(times_seen)
    seconds = time.perf_counter() - started
    targets = task.from_manifest(manifest).targets(labels)
    for path in job.output:
        predictions.write_prediction(path, predictions.keep(rows[path.stem], targets, names, by_path[path]))
    kept = tuple(path.stem for path in by_path if path not in job.output)
    return Predicted(job.run, job.protocols, len(labels), how, seconds, kept)


def probabilities(
    job: PredictJob, gpus: Sequence[str], shape: tuple[int, int]
) -> tuple[Mapping[str, np.ndarray], np.ndarray, str]:
    """Probabilities float32 of `shape` `[N, K]` by protocol, how often each image came `[N]`, and how, in words."""
    num_processes = job.processes or job.gpus or 1
    if num_processes > 1:
        load_network.require_whole(WeightsInfo.read(job.weights_info), job.weights)
        threads = max(1, job.threads // num_processes)
        command = multiprocess.Command(WORKER, worker_words(job, threads), num_processes, threads, gpus)
        return multiprocess.run(command, job.output[0].parent, job.protocols, shape)
    rows = {name: np.empty(shape, np.float32) for name in job.protocols}
    return rows, *forward(job, rows, World(device=chosen_device(gpus)))


def worker_words(job: PredictJob, threads: int) -> list[str]:
    """The job as arguments of `stages/predict_worker.py`, with `threads` for each process."""
    words = ["--threads", str(threads)]
    for field in dataclasses.fields(job):
        value = getattr(job, field.name)
        if field.name not in ("threads", "processes") and value is not None:
            values = value if field.name == "output" else [value]
            words += [f"--{field.name.replace('_', '-')}", *map(str, values)]
    return words


def worker_place(gpus: int) -> World:
    """Rank, size and device of this process among those that share the test."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device, *_ = distributed.devices_of(rank, size, gpus)
    if gpus:
        torch.cuda.set_device(device)
    return World(rank, size, device)


def predict_shard(job: PredictJob, folder: Path, world: World) -> None:
    """Fills this process's rows of the mapped files in `folder`, and writes how often each image came."""
    rows = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in job.protocols}
    times_seen, how = forward(job, rows, world)
    np.save(folder / f"times_seen.{world.rank}.npy", times_seen)
    if world.is_main:
        (folder / multiprocess.HOW).write_text(how)


def chosen_device(gpus: Sequence[str]) -> torch.device:
    """The first of the GPUs that are this job's, else the CPU; CUDA sees no other."""
    if not gpus:
        return torch.device("cpu")
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
    return torch.device("cuda")


def forward(job: PredictJob, rows: Mapping[str, np.ndarray], world: World) -> tuple[np.ndarray, str]:
    """Fills this process's images' rows of each protocol; how often each image came `[N]`, and how, in words."""
    weights = WeightsInfo.read(job.weights_info)
    protocols = {name: load_protocol(name) for name in rows}
    views = compatibility.views(weights, tuple(rows))
    steps = plan(views)
    tested_in = test_precision(weights, job.precision, world.device)
    predictor = load_network.predictor(weights, job.weights, world.device, tested_in, views)
    testing = view_batches.open_views(
        job.loader, job.val, views=steps.windows, rank=world.rank, world_size=world.size, workers=job.threads
    )
    torch.set_num_threads(job.threads)  # ffcv's import sets it to one
    with closing(testing):
        times_seen = predict(predictor, testing, steps, protocols, rows, shown=world.is_main)
    many = f" by {world.size} processes" if world.size > 1 else ""
    return times_seen, f"{len(steps.passes)} views, {tested_in} on {world.device.type}{many}"


def requested_precision(weights: WeightsInfo, machines: str) -> str:
    """The recipe's precision, for a network is tested as it was trained; the machine's where the recipe says `auto`."""
    recipes = weights.made_from.precision
    return machines if recipes == "auto" else recipes


def test_precision(weights: WeightsInfo, machines: str, device: torch.device) -> str:
    """The precision of a test; a network trained in float16, which needs a GPU, is tested in float32 on a CPU."""
    requested = requested_precision(weights, machines)
    return precision.choose("float32" if requested == "float16" and device.type == "cpu" else requested, device)


def check(run: str, weights_info: Path, weights: WeightsInfo, val_manifest: Path, manifest: Manifest) -> None:
    """Stops where the weights are not the run's, or were trained on other data than the test split's.

    Raises:
        ValueError: names what does not belong together.
    """
    run_files.check_key(run, weights, weights_info)
    compared = {
        "data": (manifest.spec.data, weights.made_from.form.data),
        "split": (manifest.split, "val"),
        "classes": (manifest.classes, weights.classes),
    }
    for name, (packed, trained_on) in compared.items():
        if packed != trained_on:
            raise ValueError(f"{run}: {name} of {val_manifest} is not what the run was trained for")
    if manifest.label_sets_sha256 != weights.label_sets_sha256:
        raise ValueError(f"{run}: {val_manifest} numbers other sets of classes than the run was trained on")


def specification(run: str, protocol: str, weights: WeightsInfo, manifest: Manifest) -> PredictionSpec:
    """Specification of a file of predictions, which `predictions.check_prediction` reads."""
    return {
        "run_key": run_files.run_key(run),
        "protocol": protocol,
        "revision": load_protocol(protocol).revision,
        "weights_sha256": weights.weights_sha256,
        "manifest_sha256": manifest.content_sha256,
        "form": manifest.spec.model_dump(mode="json", exclude_defaults=True),
        "classes": weights.classes,
    }


def image_names(path: Path, num_images: int) -> np.ndarray:
    """Names of the test images `[N]`, in the packed file's order.

    Raises:
        files.DamagedError: they are not `num_images`.
    """
    with path.open(newline="", errors="surrogateescape") as file:
        names = [row.get("name") or "" for row in csv.DictReader(file)]
    if len(names) != num_images:
        raise files.DamagedError(path, f"lists {len(names)} of {num_images} images")
    return np.array([name.encode("utf-8", "replace").decode() for name in names])
