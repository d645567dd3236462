"""Looks into a trained network: first kernels, nearest training pictures, and what in a picture it looks at."""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ilsvrc.config import registry, specs
from ilsvrc.evaluation import load_network
from ilsvrc.evaluation.inspection import central_crops, drawing, kernels, nearest, occlusion, saliency
from ilsvrc.evaluation.inspection.album import Album, Shown, first_places, members, name
from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.packing.beton import open_packed
from ilsvrc.runtime import entry_point, files, hardware, messages
from ilsvrc.runtime.files import Info
from ilsvrc.stages import predict
from ilsvrc.training import transfer

COMPARED, NEIGHBOURS = 5, 6  # test pictures, and the training pictures beside each, as in AlexNet's figure
MAPPED = 3  # of the test pictures


class Inside(NamedTuple):
    """A network on its device; it sees pictures `[N, H, W, 3]` from 0 to 255."""

    network: Classifier
    normalize: Normalization
    weights: Info
    device: torch.device

    def seen(self, pictures: Tensor) -> Tensor:
        """What the network is given."""
        return self.normalize(pictures.to(self.device))  # type: ignore[no-any-return]

    def scores(self, pictures: Tensor) -> Tensor:
        """Logits `[N, K]`."""
        return self.network(self.seen(pictures)).float()  # type: ignore[no-any-return]

    def probabilities(self, pictures: Tensor) -> Tensor:
        """Of each class, `[N, K]`: by itself where a picture may have several."""
        scores = self.scores(pictures)
        return scores.sigmoid() if load_network.has_several(self.weights) else scores.softmax(dim=1)


def main(given: argparse.Namespace) -> None:
    """Writes `--output` and the pictures that it names, and prints a line."""
    weights, manifest = files.read_json(given.weights_info), files.read_json(given.val_manifest)
    predict.check(given, weights, manifest)
    album = Album(given.pictures, given.output.parent)
    with hardware.claimed_gpus(given.gpus) as gpus:
        device = predict.chosen_device(gpus)
        network, normalize = (part.float().to(device).eval() for part in load_network.trained(weights, given.weights))
        found = look(given, Inside(network, normalize, weights, device), manifest, album)
    about = {"run": given.run, "weights_sha256": weights["weights_sha256"], "nearest_of": given.nearest_of}
    files.write_text(given.output, json.dumps(about | found, indent=1) + "\n")
    messages.say(f"looked into {given.run}: {', '.join(key for key in found if key != 'nearest_images')}")


def look(given: argparse.Namespace, inside: Inside, manifest: Info, album: Album) -> Info:
    """All that is looked at, by its name in the report; pictures by their files' names."""
    shown = test_pictures(given, inside.weights["crop_px"], manifest)
    first = kernels.of_first_layer(inside.network)
    return {
        **({} if first is None else {"kernels": album.keep("kernels.png", drawing.png(kernels.mosaic(first)))}),
        **(neighbours(given, inside, shown, manifest, album) if given.train else {}),
        "occlusion": [occluded(inside, one, album) for one in shown[:MAPPED]],
        "saliency": [salient(inside, one, album) for one in shown[:MAPPED]],
    }


def test_pictures(given: argparse.Namespace, crop_px: int, manifest: Info) -> list[Shown]:
    """The first picture of each of five classes, or sets of classes."""
    places = first_places(open_packed(given.val).labels, manifest, COMPARED)
    return [
        Shown(int(place), crop, members(manifest, int(label))[0], name(manifest, int(label)))
        for crops, labels, at in central_crops.central(given.loader, given.val, places, crop_px, given.threads)
        for crop, label, place in zip(crops, labels, at, strict=True)
    ]


def neighbours(given: argparse.Namespace, inside: Inside, shown: list[Shown], manifest: Info, album: Album) -> Info:
    """The nearest training pictures of each of `shown`, and how many were compared."""
    crop_px, train, val = inside.weights["crop_px"], open_packed(given.train), open_packed(given.val)
    chosen = central_crops.spread(given.train, given.nearest_of)
    crops = central_crops.central(given.loader, given.train, chosen, crop_px, given.threads)
    hidden = last_hidden_layer(inside)
    wanted = hidden(torch.stack([one.crop for one in shown]))
    found = nearest.nearest(wanted, ((at, hidden(pictures)) for pictures, _, at in crops), NEIGHBOURS)

    def neighbour(place: int, distance: float) -> Info:
        label = name(manifest, int(train.labels[place]))
        return {"image": album.thumbnail(train, place), "label": label, "distance": round(distance, 3)}

    rows = [
        {
            "test": album.thumbnail(val, one.place),
            "label": one.name,
            "neighbours": [neighbour(*each) for each in zip(places.tolist(), distances.tolist(), strict=True)],
        }
        for one, places, distances in zip(shown, *found, strict=True)
    ]
    return {"nearest": rows, "nearest_images": len(chosen)}


def last_hidden_layer(inside: Inside) -> nearest.Activations:
    """What gives the last hidden layer's activations `[N, D]` of pictures."""
    build = registry.architecture(specs.made_from(inside.weights).architecture)
    names = transfer.classifier_names(lambda count: build(num_classes=count, input_px=inside.weights["crop_px"]))
    hidden = nearest.last_hidden_layer(inside.network, names)
    return lambda pictures: hidden(inside.seen(pictures))


def occluded(inside: Inside, one: Shown, album: Album) -> Info:
    """What becomes of the class's probability where a part of the picture is covered."""
    found = occlusion.occlusion(inside.probabilities, one.crop, one.label)
    low, high = (round(100 * float(end), 2) for end in (found.min(), found.max()))
    return {
        "image": album.drawn(f"crop_{one.place}", one.crop.numpy()),
        "map": album.drawn(f"occlusion_{one.place}", drawing.heat(found)),
        "label": one.name,
        "lowest_percent": low,
        "highest_percent": high,
    }


def salient(inside: Inside, one: Shown, album: Album) -> Info:
    """On which pixels the class's score hangs."""
    found = saliency.saliency(inside.scores, one.crop.to(inside.device), one.label)
    return {
        "image": album.drawn(f"crop_{one.place}", one.crop.numpy()),
        "map": album.drawn(f"saliency_{one.place}", saliency.shown(found)),
        "label": one.name,
    }


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--weights-info", type=Path, required=True, help="weights.json")
    parser.add_argument("--train", type=Path, nargs="?", help="packed training split; none: no nearest pictures")
    parser.add_argument("--val", type=Path, required=True, help="packed test split")
    parser.add_argument("--val-manifest", type=Path, required=True, help="its manifest")
    parser.add_argument("--nearest-of", type=int, required=True, help="how many training pictures are compared")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--pictures", type=Path, required=True, help="folder beside it, to write pictures to")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs, 0 for the CPU")
    parser.add_argument("--loader", default="ffcv", help="ffcv or pillow")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
