"""Oxford 102 Flowers: 8,189 photographs, read in place from the owners' archive, decompressed to a plain tar.

Nilsback and Zisserman, Automated flower classification over a large number of classes (2008). As papers on transfer do
it, the owners' training and validation parts (1,020 each) are trained on here, and their test part (6,149) is `val`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets._card import Card, Sample
from ilsvrc.datasets._readers.archive import Member, members
from ilsvrc.datasets._readers.unpack import decompress
from ilsvrc.runtime import files
from ilsvrc.runtime.download import Remote, fetch

ADDRESS = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
FILES = {  # MD5 as torchvision, sizes as tensorflow_datasets states them; the owners publish none
    "102flowers.tgz": ("md5:52808999861908f626f3c1f4e79d11fa", 344862509),
    "imagelabels.mat": ("md5:e0620be6f572b9609742df49c70aed4d", 502),
    "setid.mat": ("md5:a5357ecc9cb78c4bef273ce3793fc85c", 14989),
}
REMOTES = {name: Remote(name, checksum, size, (f"{ADDRESS}/{name}",)) for name, (checksum, size) in FILES.items()}
PARTS = {"trnid": "train", "valid": "train", "tstid": "val"}
NAMES = """
    pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon
    orchid, bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, yellow
    iris, globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire lily,
    pincushion flower, fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers, stemless
    gentian, artichoke, sweet william, carnation, garden phlox, love in the mist, mexican aster, alpine sea holly,
    ruby-lipped cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy, daffodil, sword
    lily, poinsettia, bolero deep blue, wallflower, marigold, buttercup, oxeye daisy, common dandelion, petunia,
    wild pansy, primula, sunflower, pelargonium, bishop of llandaff, gaura, geranium, orange dahlia, pink-yellow
    dahlia, cautleya spicata, japanese anemone, black-eyed susan, silverbush, californian poppy, osteospermum,
    spring crocus, bearded iris, windflower, tree poppy, gazania, azalea, water lily, rose, thorn apple, morning
    glory, passion flower, lotus, toad lily, anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree
    mallow, magnolia, cyclamen, watercress, canna lily, hippeastrum, bee balm, ball moss, foxglove, bougainvillea,
    camellia, mallow, mexican petunia, bromelia, blanket flower, trumpet creeper, blackberry lily
"""  # by label, from the owners' page as torchvision lists them
CLASSES = tuple(f"{label:03d}_{'_'.join(name.split())}" for label, name in enumerate(NAMES.split(","), 1))
CARD = Card(
    title="Oxford 102 Flowers",
    licence="none stated; the owners ask to cite Nilsback and Zisserman 2008",
    address=f"{ADDRESS}/",
    papers="Nilsback and Zisserman 2008; papers on transfer from ImageNet",
    classes=102,
    counts={"train": 2040, "val": 6149},
    archives=("102flowers.tar", "labels.csv"),
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Empty: no file of the user's is read."""
    return ""


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Downloads images, labels and parts; leaves a plain tar and a list of split and class in `raw`."""
    raw.mkdir(parents=True, exist_ok=True)
    archive, labels, parts = (fetch(remote, "flowers102") for remote in REMOTES.values())
    decompress(archive, raw / "102flowers.tar")
    _write_labels(labels, parts, raw / "labels.csv")


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and name."""
    found: dict[str, Member] = {Path(member.name).name: member for member in members(raw / "102flowers.tar")}
    for line in sorted((raw / "labels.csv").read_text().split()):
        split, label_name, name = line.split(",")
        if name not in found:
            raise ValueError(f"{raw / '102flowers.tar'} lacks {name}; it is not the archive that it should be")
        member = found[name]
        yield Sample(split, label_name, f"{label_name}/{name}", "102flowers.tar", member.offset, member.size)


def _write_labels(labels: Path, parts: Path, target: Path) -> None:
    """The owners' MATLAB files as lines `split,class,image`."""
    from scipy.io import loadmat

    label = loadmat(labels)["labels"].ravel().tolist()
    part = loadmat(parts)
    lines = [
        f"{split},{CLASSES[label[number - 1] - 1]},image_{number:05d}.jpg\n"
        for key, split in PARTS.items()
        for number in part[key].ravel().tolist()
    ]
    files.write_text(target, "".join(lines))
