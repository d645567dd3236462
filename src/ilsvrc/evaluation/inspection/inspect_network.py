"""Inspection of a trained network: first kernels, nearest training images, and what in an image a score depends on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import registry
from ilsvrc.evaluation import load_network, predict_split, task
from ilsvrc.evaluation.inspection import central_crops, drawing, kernels, nearest, occlusion, saliency
from ilsvrc.evaluation.inspection.album import Album, Shown, first_places, label_name
from ilsvrc.models.common import classifier_names
from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.packing.beton import open_packed
from ilsvrc.runtime import files, hardware

NUM_TEST_IMAGES, NUM_NEIGHBOURS = 5, 6  # test images, and the training images beside each, as in AlexNet's figure
NUM_MAPPED = 3  # of the test images

Inspection = dict[str, Any]  # a part of inspect.json


@dataclass(frozen=True)
class InspectJob:
    """Arguments of an inspection: a trained network, packed images, and the JSON and the folder of images to write.

    Without `train` there are no nearest images; `nearest_of` is how many training images are compared. `threads` are
    CPU threads, `gpus` is 0 for the CPU.
    """

    run: str
    weights: Path
    weights_info: Path
    val: Path
    val_manifest: Path
    nearest_of: int
    output: Path
    pictures: Path
    train: Path | None = None
    threads: int = 1
    gpus: int = 0
    loader: str = "auto"


class InspectedNetwork(NamedTuple):
    """A network on its device, for images `[N, H, W, 3]` from 0 to 255."""

    network: Classifier
    normalize: Normalization
    weights: WeightsInfo
    device: torch.device

    def normalized(self, images: Tensor) -> Tensor:
        """Normalized images, as the network takes them."""
        return self.normalize(images.to(self.device))  # type: ignore[no-any-return]

    def scores(self, images: Tensor) -> Tensor:
        """Logits `[N, K]`."""
        return self.network(self.normalized(images)).float()  # type: ignore[no-any-return]

    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities `[N, K]`: softmax, or a sigmoid for each class of a multi-label network."""
        return task.from_weights(self.weights).activation(self.scores(images))


def inspect_network(job: InspectJob) -> list[str]:
    """Writes the job's `output` and the images that it names; the names of the inspections that were made.

    Raises:
        ValueError: the weights and the test split do not belong together.
    """
    weights, manifest = WeightsInfo.read(job.weights_info), Manifest.read(job.val_manifest)
    predict_split.check(job.run, job.weights_info, weights, job.val_manifest, manifest)
    album = Album(job.pictures, job.output.parent)
    with hardware.claimed_gpus(job.gpus) as gpus:
        device = predict_split.chosen_device(gpus)
        network, normalize = load_network.trained(weights, job.weights)
        network, normalize = network.float().to(device).eval(), normalize.float().to(device).eval()
        found = inspections(job, InspectedNetwork(network, normalize, weights, device), manifest, album)
    about = {"run": job.run, "weights_sha256": weights.weights_sha256, "nearest_of": job.nearest_of}
    files.write_text(job.output, json.dumps(about | found, indent=1) + "\n")
    return [key for key in found if key != "nearest_images"]


def inspections(job: InspectJob, inspected: InspectedNetwork, manifest: Manifest, album: Album) -> Inspection:
    """All inspections by their names in the report, with images by their files' names."""
    shown = first_test_images(job, inspected.weights.crop_px, manifest)
    first = kernels.first_layer_kernels(inspected.network)
    return {
        **({} if first is None else {"kernels": album.keep("kernels.png", drawing.png(kernels.mosaic(first)))}),
        **(neighbours(job, job.train, inspected, shown, manifest, album) if job.train else {}),
        "occlusion": [occluded(inspected, one, album) for one in shown[:NUM_MAPPED]],
        "saliency": [salient(inspected, one, album) for one in shown[:NUM_MAPPED]],
    }


def first_test_images(job: InspectJob, crop_px: int, manifest: Manifest) -> list[Shown]:
    """The first image of each of five classes, or sets of classes."""
    places = first_places(open_packed(job.val).labels, manifest, NUM_TEST_IMAGES)
    classes_of = task.from_manifest(manifest).classes_of
    return [
        Shown(int(place), crop, classes_of(int(label))[0], label_name(manifest, int(label)))
        for crops, labels, at in central_crops.central(job.loader, job.val, places, crop_px, job.threads)
        for crop, label, place in zip(crops, labels, at, strict=True)
    ]


def neighbours(
    job: InspectJob,
    train_beton: Path,
    inspected: InspectedNetwork,
    shown: list[Shown],
    manifest: Manifest,
    album: Album,
) -> Inspection:
    """The nearest training images of each of `shown`, and how many were compared."""
    crop_px, train, val = inspected.weights.crop_px, open_packed(train_beton), open_packed(job.val)
    chosen = central_crops.spread(train_beton, job.nearest_of)
    crops = central_crops.central(job.loader, train_beton, chosen, crop_px, job.threads)
    hidden = last_hidden_layer(inspected)
    wanted = hidden(torch.stack([one.crop for one in shown]))
    found = nearest.nearest(wanted, ((at, hidden(images)) for images, _, at in crops), NUM_NEIGHBOURS)

    def neighbour(place: int, distance: float) -> Inspection:
        label = label_name(manifest, int(train.labels[place]))
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


def last_hidden_layer(inspected: InspectedNetwork) -> nearest.Activations:
    """A function from images to the last hidden layer's activations `[N, D]`."""
    build = registry.architecture(inspected.weights.made_from.architecture)
    names = classifier_names.classifier_names(
        lambda count: build(num_classes=count, input_px=inspected.weights.crop_px)
    )
    hidden = nearest.last_hidden_layer(inspected.network, names)
    return lambda images: hidden(inspected.normalized(images))


def occluded(inspected: InspectedNetwork, one: Shown, album: Album) -> Inspection:
    """The map of the class's probability where a part of the image is covered."""
    found = occlusion.occlusion(inspected.probabilities, one.crop, one.label)
    low, high = (round(100 * float(end), 2) for end in (found.min(), found.max()))
    return {
        "image": album.drawn(f"crop_{one.place}", one.crop.numpy()),
        "map": album.drawn(f"occlusion_{one.place}", drawing.heat(found)),
        "label": one.name,
        "lowest_percent": low,
        "highest_percent": high,
    }


def salient(inspected: InspectedNetwork, one: Shown, album: Album) -> Inspection:
    """The saliency map: the class's gradient with respect to each pixel."""
    found = saliency.saliency(inspected.scores, one.crop.to(inspected.device), one.label)
    return {
        "image": album.drawn(f"crop_{one.place}", one.crop.numpy()),
        "map": album.drawn(f"saliency_{one.place}", saliency.shown(found)),
        "label": one.name,
    }
