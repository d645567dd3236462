"""The packed forms that params.yaml asks for: of the training images, and of the test images where it differs."""

import re
from pathlib import Path

from ilsvrc.config import registry
from ilsvrc.config.params import Data, Params
from ilsvrc.config.specs import FormSpec, PackSpec, SourceSpec, key8

FORM_OPTIONS = {
    "short_side_px", "encoding", "jpeg_quality", "order", "test_form", "exif_orientation", "on_bad_image", "verify",
}  # fmt: skip


UNSAFE = re.compile("[{}\\x00-\\x1f\\x7f\\ud800-\\udfff]")  # Snakemake's wildcards, control characters, no UTF-8
MAX_LABEL_BYTES = 200  # file systems take 255 with what is added


def data_label(params: Params) -> str:
    """The data set's name in paths: its own, or the folder's (the archive's stem).

    Raises:
        ValueError: the folder is called like a data set that ilsvrc knows, or its name is none for a folder of ours.
    """
    if params.data.path is None or params.dataset != "folder":
        return params.dataset
    label = params.data.name or UNSAFE.sub("_", Path(params.data.path).name.split(".")[0])
    if not label.strip() or len(label.encode()) > MAX_LABEL_BYTES:
        raise ValueError(
            f"data.path = {params.data.path!r} ends in a name that is empty before its first point, or longer than"
            f" {MAX_LABEL_BYTES} bytes: give the images a name by data.name in params.yaml"
        )
    if label in registry.names("datasets"):
        raise ValueError(
            f"{label} is a data set of its own; call the images at {params.data.path} otherwise: data.name"
        )
    return label


def source_spec(params: Params, fingerprint: str = "") -> SourceSpec:
    """Specification of acquiring the data set; the options of the packed form are left out."""
    options = Data(**params.data.model_dump(exclude=FORM_OPTIONS, exclude_defaults=True))
    return SourceSpec(dataset=params.dataset, options=options, fingerprint=fingerprint)


def form_spec(params: Params) -> FormSpec:
    """The packed form of training images: params.yaml's choice, else the data set's card's."""
    return _form(params, params.data)


def test_form_spec(params: Params) -> FormSpec:
    """The packed form that the protocols test on: the training images' but for what `data.test_form` says."""
    changes = params.data.test_form.model_dump(exclude_none=True) if params.data.test_form else {}
    return _form(params, params.data.model_copy(update=changes))


def requested_forms(params: Params) -> list[FormSpec]:
    """Every packed form that params.yaml asks for, the training images' first."""
    train, test = form_spec(params), test_form_spec(params)
    return [train] if train == test else [train, test]


def _form(params: Params, data: Data) -> FormSpec:
    card = registry.load("datasets", params.dataset).CARD
    short_side_px = card.short_side_px if data.short_side_px is None else data.short_side_px
    encoding = data.encoding or card.encoding
    return FormSpec(
        data=data_label(params),
        short_side_px=None if short_side_px == "original" else short_side_px,
        upscale=card.upscale,
        encoding=encoding,
        jpeg_quality=data.jpeg_quality if encoding == "jpeg" else 95,
        order=data.order,
        exif_orientation=data.exif_orientation,
        on_bad_image=data.on_bad_image,
        verify="structure" if data.verify == "structure" and encoding == "jpeg" else "decode",
    )


def pack_spec(params: Params, form: FormSpec) -> PackSpec:
    """A packed form, and how it is checked where that changes nothing in it."""
    return PackSpec(**form.model_dump(), compare=params.data.verify == "full")


def form_name(form: FormSpec) -> str:
    """The packed form's folder, such as `short_side=91,raw-0a1b2c3d`."""
    size = f"short_side={form.short_side_px}" if form.short_side_px else "original"
    return f"{size},{form.encoding}-{key8(form)}"
