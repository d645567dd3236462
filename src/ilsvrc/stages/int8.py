"""A trained network in int8 on the CPU: what it costs, and its error beside that of float32 on the same pictures."""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ilsvrc.artifacts import run_files
from ilsvrc.evaluation import load_network, multilabel_metrics
from ilsvrc.evaluation.inspection import central_crops
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.packing.beton import open_packed
from ilsvrc.profiling import energy, inference, int8
from ilsvrc.profiling.network import free_bytes, in_words, machine
from ilsvrc.runtime import entry_point, files, messages, progress
from ilsvrc.stages.cost import MEASURED_WITH
from ilsvrc.training.preflight import setup

CALIBRATION_IMAGES = 256  # of the training split: test pictures choose nothing
MOST_TESTED = 10_000
CPU = torch.device("cpu")


def main(given: argparse.Namespace) -> None:
    """Measures `--run`, and prints a line."""
    torch.set_num_threads(given.threads)
    weights = files.read_json(given.weights_info)
    run_files.check_key(given.run, weights, given.weights_info)
    network, normalize = load_network.trained(weights, given.weights)
    network = network.to(memory_format=torch.channels_last).eval()
    counter = energy.rapl()
    found = measured(given, network, normalize, weights["crop_px"], counter)
    about = {
        "run": given.run,
        "weights_sha256": weights["weights_sha256"],
        "architecture": weights["spec"]["architecture"],
        "crop_px": weights["crop_px"],
        "num_classes": weights["num_classes"],
        "tests": [{"precision": "int8", **found}],
        **machine(CPU, given.threads, counter),
    }
    files.write_text(given.output, json.dumps(about, indent=1) + "\n")
    messages.say(f"{given.run}: {in_words(about['tests'][0])}{errors_in_words(found)}")


def measured(
    given: argparse.Namespace, network: nn.Module, normalize: Normalization, crop_px: int, counter: energy.Counter | str
) -> dict[str, Any]:
    """Costs and errors, or why the network has no int8 form."""
    shown = pictures(given, given.train, CALIBRATION_IMAGES, crop_px)
    try:
        made = int8.quantize(network, (normalize(images) for images, _ in shown))
    except ValueError as error:
        return {"why_not": str(error)}
    passes = inference.Pass(made.network, crop_px, CPU)
    costs = inference.measure(passes, free_bytes(CPU), counter)
    return {
        **costs,
        "int8_layers": made.int8_layers,
        "layers": made.layers,
        "calibration_images": CALIBRATION_IMAGES,
        **errors(given, {"int8": made.network, "float32": network}, normalize, crop_px),
    }


@torch.inference_mode()
def errors(
    given: argparse.Namespace, networks: dict[str, nn.Module], normalize: Normalization, crop_px: int
) -> dict[str, Any]:
    """Top-1 errors of `networks` in percent by one central crop, and of how many of the test pictures.

    F2 where a picture may have several classes.
    """
    what, judge = judged(files.read_json(given.val.with_suffix(".manifest.json")))
    sums, total = dict.fromkeys(networks, 0.0), 0
    tested = min(MOST_TESTED, open_packed(given.val).num_images)
    with progress.bar("int8", tested) as shown:
        for images, labels in pictures(given, given.val, MOST_TESTED, crop_px):
            seen = normalize(images)
            for name, network in networks.items():
                sums[name] += judge(network(seen), labels)
            total += len(labels)
            shown.update(len(labels))
    found = {f"{name}_{what}_percent": 100 * each / total for name, each in sums.items()}
    return {**found, "protocol": central_crops.PROTOCOL, "num_images": total}


def judged(manifest: files.Info) -> tuple[str, Callable[[Tensor, Tensor], float]]:
    """What is measured, and its sum over images, of logits `[N, K]` and packed labels `[N]`."""
    if "label_sets" not in manifest:
        return "top1_error", lambda logits, labels: float((logits.argmax(dim=1) != labels).sum())
    members = multilabel_metrics.members(manifest["label_sets"], len(manifest["classes"]))

    def f2(logits: Tensor, labels: Tensor) -> float:
        return float(multilabel_metrics.f2_of_images(logits.sigmoid().numpy(), members[labels.numpy()]).sum())

    return "f2", f2


def pictures(given: argparse.Namespace, beton: Path, most: int, crop_px: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of up to `most` pictures, evenly spread over the file: uint8 `[N, H, W, 3]` and labels `[N]`."""
    chosen = central_crops.spread(beton, most)
    for images, labels, _ in central_crops.central(given.loader, beton, chosen, crop_px, given.threads):
        yield images, labels


def errors_in_words(found: files.Info) -> str:
    """`, error 2.8 % (float32 2.3 %), n = 355`, or F2."""
    if "why_not" in found:
        return ""
    what, name = ("F2", "f2") if "int8_f2_percent" in found else ("error", "top1_error")
    mine, floats = (found[f"{number_format}_{name}_percent"] for number_format in ("int8", "float32"))
    return f", {what} {mine:.1f} % (float32 {floats:.1f} %), n = {found['num_images']}"


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--weights-info", type=Path, required=True, help="weights.json")
    parser.add_argument("--train", type=Path, required=True, help="packed training split, to calibrate with")
    parser.add_argument("--val", type=Path, required=True, help="packed test split")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--loader", default="ffcv", help="ffcv or pillow")
    return parser


if __name__ == "__main__":
    setup.started_with(MEASURED_WITH)
    entry_point.run(main, arguments())
