"""Cards and samples of data sets: the contract of `datasets/<name>.py`.

A data set's module has `CARD: Card` and three functions::

    acquire(raw: Path, options: Mapping) -> None       download what is missing into `raw`, checked
    samples(raw: Path, options: Mapping) -> Iterator[Sample]     every image, in the order it is packed in
    fingerprint(options: Mapping) -> str     hash of the files at `data.path` ("" for a data set that takes none)

It may have `class_numbers(options) -> Mapping[str, int]`: the numbers that its owners give the classes in submissions.

`options` is the `data:` section of params.yaml as a mapping, where a key that is not there has its default. Module
imports stay light (the standard library and this one): the dry run reads the card and the fingerprint. `samples`
yields the splits of `SPLITS` only, each image once, by split, class and name; a class's index is its place in the
sorted names of all classes. `fingerprint` says "missing" where nothing stands, and depends on content and names
alone, never on modification times or on where the folder is.

Where an image may have several classes or none (`Sample.multilabel`, of all samples of a data set or of none),
`label_name` is the name of a set of classes, `join_classes`: their names, sorted and separated by `JOINER`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType

SPLITS = ("train", "val")
FUNCTIONS = ("acquire", "samples", "fingerprint")
CONTRACT = "CARD: Card, acquire(raw, options), samples(raw, options) and fingerprint(options)"
JOINER = ";"  # in no class's name where an image may have several


@dataclass(frozen=True)
class Card:
    """Description of a data set by its owners and the papers, and the form that it is packed in.

    `counts` holds the images of each split where they are known beforehand (checked), `archives` the files that
    `acquire` writes into the raw folder (outputs of the rule). `path` describes the value of `data.path` in params.yaml
    for images that the user provides; other data sets take none. `mean` and `std` (RGB, 0 to 255) are those that papers
    or their code state, `mean_std_source` names them; packing measures its own.

    The packed form unless params.yaml says otherwise: `short_side_px` None keeps the size, `upscale` enlarges small
    images to it; `crop_px` None leaves the input size to the architecture.
    """

    title: str
    licence: str  # in its owners' words
    address: str  # of the owners' page
    papers: str = ""  # that introduced it or report on it
    path: str = ""
    classes: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    archives: tuple[str, ...] = ()
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    mean_std_source: str = ""
    short_side_px: int | None = None
    upscale: bool = False
    encoding: str = "jpeg"
    crop_px: int | None = None
    papers_data: str | None = None  # its name in reporting/published_results.csv


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: `size` bytes at `offset` of `file`, and the class it belongs to, or the set of its classes.

    `kind` is the format of the bytes: "" an encoded image (JPEG, PNG ...), `stored:<CRC-32>` one of a zip,
    `deflated:<bytes>:<CRC-32>` one that a zip has compressed (in earlier releases without the CRC-32),
    `planes:<channels>x<height>x<width>` pixels channel by channel, `rows:<height>x<width>` grey pixels.
    """

    split: str
    label_name: str
    name: str
    file: str  # relative to the raw folder, or absolute
    offset: int
    size: int
    kind: str = ""
    multilabel: bool = False  # the index of images does not keep it


def check_plugin(module: ModuleType) -> None:
    """Refuses a module that breaks the contract of data sets.

    Raises:
        ValueError: it has no card, or lacks a function; the message names the contract and the file.
    """
    missing = [] if isinstance(getattr(module, "CARD", None), Card) else ["CARD"]
    missing += [name for name in FUNCTIONS if not callable(getattr(module, name, None))]
    if missing:
        raise ValueError(
            f"{module.__file__} is no data set, for it lacks {', '.join(missing)}: a data set's module has {CONTRACT}"
            " (see ilsvrc/datasets/_card.py)"
        )


def join_classes(classes: Iterable[str]) -> str:
    """The name of a set of classes; the empty set's is empty."""
    return JOINER.join(sorted(set(classes)))


def split_classes(label_name: str) -> list[str]:
    """The classes of a set, by its name."""
    return label_name.split(JOINER) if label_name else []
