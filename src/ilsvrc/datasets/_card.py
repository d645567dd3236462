"""What a data set says of itself, and where its images' bytes lie: the contract of `data/<name>.py`.

A data set's module has `CARD: Card` and three functions::

    acquire(raw: Path, options: Mapping) -> None       fetch what is missing into `raw`, checked
    samples(raw: Path, options: Mapping) -> Iterator[Sample]     every image, in the order it is packed in
    fingerprint(options: Mapping) -> str     what stands at a place of the user's ("" where there is none)

It may have `class_numbers(options) -> Mapping[str, int]`: the numbers that its owners give the classes in submissions.

`options` is the `data:` section of params.yaml as a mapping, where a key that is not there has its default. Module
imports stay light (the standard library and this one): the dry run reads the card and the fingerprint. `samples`
yields the splits of `SPLITS` only, each image once, by split, class and name; a class's index is its place in the
sorted names of all classes. `fingerprint` says "missing" where nothing stands, and depends on content and names
alone, never on modification times or on where the folder is.

Where an image may have several classes or none (`Sample.multilabel`, of all samples of a data set or of none),
`label_name` is the name of a set of classes, `join_classes`: their names, sorted and parted by `JOINER`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

SPLITS = ("train", "val")
JOINER = ";"  # in no class's name where an image may have several


@dataclass(frozen=True)
class Card:
    """A data set, as its owners and the papers describe it.

    `counts` holds the images of each split where they are known beforehand (checked), `archives` the files that
    `acquire` leaves in the raw folder (outputs of the rule). `path` says what `data.path` in params.yaml must hold
    where the images are the user's to bring; other data sets take none. `mean` and `std` (RGB, 0 to 255) are those
    that papers or their code state, `mean_std_source` says which; packing measures its own.

    The form that it is packed in unless params.yaml says otherwise: `short_side_px` None keeps the size, `upscale`
    lets small images grow to it; `crop_px` None leaves the input size to the architecture.
    """

    title: str
    licence: str  # as its owners state it
    address: str
    papers: str = ""  # whose data it is, and who reports on it
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
    papers_data: str | None = None  # the name it has in reporting/published_results.csv, where papers report on it


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: `size` bytes at `offset` of `file`, and the class it belongs to, or the set of its classes.

    `kind` says what the bytes are: "" an encoded image (JPEG, PNG ...), `deflated:<bytes>` one that a zip has
    squeezed, `planes:<channels>x<height>x<width>` pixels channel by channel, `rows:<height>x<width>` grey pixels.
    """

    split: str
    label_name: str
    name: str
    file: str  # relative to the raw folder, or absolute
    offset: int
    size: int
    kind: str = ""
    multilabel: bool = False  # acquiring asks; the index of images does not keep it


def join_classes(classes: Iterable[str]) -> str:
    """The name of a set of classes; the empty set's is empty."""
    return JOINER.join(sorted(set(classes)))


def split_classes(label_name: str) -> list[str]:
    """The classes of a set, by its name."""
    return label_name.split(JOINER) if label_name else []
