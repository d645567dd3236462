"""What a trained network sees in pictures: `python -m ilsvrc.stages.classify alexnet some_flower.jpg`.

A picture goes the way of a test image: packed form, windows of the protocol, normalisation.
"""

import argparse
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.find_run import find_run
from ilsvrc.config import registry, specs
from ilsvrc.evaluation import compatibility, load_network, multilabel_metrics
from ilsvrc.evaluation.predictor import Predictor, average, plan
from ilsvrc.loading import pillow_loader, view_batches, view_layout
from ilsvrc.loading.views import View
from ilsvrc.packing import beton_layout, encode
from ilsvrc.runtime import entry_point, files

NUM_GUESSES = 5


def main(given: argparse.Namespace) -> None:
    """Prints the guesses for each picture; broken ones are named at the end."""
    run = find_run(given.run)
    folder = run_files.RUNS / run
    weights = files.read_json(folder / "weights.json")
    run_files.check_key(run, weights, folder / "weights.json")
    predictor = load_network.predictor(
        weights, folder / "weights.safetensors", torch.device("cpu"), "float32",
        compatibility.views(weights, [given.protocol]),
    )  # fmt: skip
    found, broken = {}, []
    for path in given.pictures:
        try:
            found[str(path)] = guesses(predictor, weights, path, given.protocol)
        except (ValueError, OSError) as error:
            broken.append(f"{path}: {error.strerror if isinstance(error, OSError) else error}")
    show = as_json if given.json else as_text
    sys.stdout.write(show(run, given.protocol, found))
    if broken:
        raise ValueError("\n".join(broken))


def guesses(predictor: Predictor, weights: files.Info, path: Path, protocol_name: str) -> list[tuple[str, float]]:
    """The most probable classes of a picture with their probabilities, the first five at most.

    Where a picture may have several: all that are above `multilabel.THRESHOLD`.
    """
    probabilities = probabilities_of(predictor, weights, path.read_bytes(), protocol_name)
    most = int((probabilities > multilabel_metrics.THRESHOLD).sum()) if predictor.several else NUM_GUESSES
    best = np.argsort(-probabilities, kind="stable")[:most]
    return [(weights["classes"][place], float(probabilities[place])) for place in best]


def probabilities_of(
    predictor: Predictor, weights: files.Info, picture: bytes | np.ndarray, protocol_name: str
) -> np.ndarray:
    """Class probabilities float32 `[K]` of an encoded picture, or of RGB pixels uint8 `[H, W, 3]`."""
    protocol = registry.load("protocols", protocol_name)
    steps = plan(compatibility.views(weights, [protocol_name]))
    shown = decoded(picture, specs.FormSpec(**weights["spec"]["form"]), steps.windows)
    views = predictor.logits(shown, 1, steps)[:, steps.members[protocol_name]]
    found: np.ndarray = average(views, protocol.AVERAGE, predictor.several)[0].cpu().numpy()
    return found


def decoded(content: bytes | np.ndarray, form: specs.FormSpec, windows: Sequence[View]) -> list[view_batches.Shown]:
    """Windows of a picture by size, by way of the form that test images are packed in.

    RGB pixels are not compressed for it: they may have been already.
    """
    if isinstance(content, np.ndarray):
        form = form.model_copy(update={"encoding": "raw"})
    stored = encode.store(content, form)
    if stored.mode == beton_layout.RAW:
        picture = Image.frombytes("RGB", (stored.width, stored.height), stored.payload)
    else:
        picture = Image.open(io.BytesIO(stored.payload)).convert("RGB")
    where = view_layout.place(windows, np.array([stored.width]), np.array([stored.height]))
    return view_batches.by_size(torch.from_numpy(pillow_loader.memory_of([picture], where)), where.windows)


def as_text(run: str, protocol: str, found: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """A small table for each picture."""
    lines = [f"{run}, {protocol}"] if found else []
    for picture, listed in found.items():
        width = max((len(name) for name, _ in listed), default=0)
        lines += [
            "",
            picture,
            *(f"  {name:{width}}  {100 * p:5.1f} %  {'▇' * round(30 * p)}".rstrip() for name, p in listed),
            *([] if listed else [f"  no class above {100 * multilabel_metrics.THRESHOLD:g} %"]),
        ]
    return "".join(f"{line}\n" for line in lines)


def as_json(run: str, protocol: str, found: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """A list with an object for each picture."""
    content: list[dict[str, Any]] = [
        {
            "picture": picture,
            "run": run,
            "protocol": protocol,
            "guesses": [{"class": name, "probability": p} for name, p in listed],
        }
        for picture, listed in found.items()
    ]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="a run's folder, its name, or a part that no other run has")
    parser.add_argument("pictures", metavar="PICTURE", type=Path, nargs="+", help="a file in any format of Pillow's")
    parser.add_argument("--protocol", choices=registry.names("protocols"), default="single_crop", help="test protocol")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
