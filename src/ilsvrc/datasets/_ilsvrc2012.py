"""The classification data of ILSVRC-2012, read in place from the three archives that the user brings."""

import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._readers.archive import Member, hidden, inner_members, members
from ilsvrc.datasets._readers.fingerprint import of_files
from ilsvrc.runtime import files
from ilsvrc.runtime.disk import CHUNK_BYTES
from ilsvrc.runtime.download import DOWNLOADS, Remote, mismatch

# MD5 as image-net.org and torchvision state them
TRAIN = Remote("ILSVRC2012_img_train.tar", "md5:1d675b47d978889d74fa0da5fadfb00e", 147897477120)
VAL = Remote("ILSVRC2012_img_val.tar", "md5:29b22e2961454d5413ddabcf34fc5622", 6744924160)
DEVKIT = Remote("ILSVRC2012_devkit_t12.tar.gz", "md5:fa75699e90414af021442c21a62c3abf", 2568145)
REMOTES = (TRAIN, VAL, DEVKIT)
TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
META = "ILSVRC2012_devkit_t12/data/meta.mat"
NUM_CLASSES, NUM_TRAIN, NUM_VAL = 1000, 1281167, 50000
BLACKLIST, BLACKLIST_DEVKIT, NUM_BLACKLISTED = (
    "ILSVRC2014_clsloc_validation_blacklist.txt", "ILSVRC2014_devkit.tgz", 1762,
)  # fmt: skip
VAL_LABELS = "val_wnids.txt"  # the class of each validation image, by number
VAL_NAME = "ILSVRC2012_val_{:08d}.JPEG"
ADDRESS = "https://image-net.org/challenges/LSVRC/2012/2012-downloads.php"
LICENCE = "ImageNet's terms of access: non-commercial research and education only, not to be passed on"
PATH = f"a folder with {', '.join(remote.name for remote in REMOTES)} as image-net.org gives them"


def fingerprint(options: Mapping[str, Any]) -> str:
    """Sizes and 64 blocks of each archive that stands at `data.path`."""
    return of_files(Path(options["path"]) / remote.name for remote in REMOTES)


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Checks the archives (MD5, once) and leaves the classes of the validation images in `raw`.

    Raises:
        ValueError: one is missing, or is not what image-net.org gives.
    """
    raw.mkdir(parents=True, exist_ok=True)
    folder = Path(options["path"])
    _check_archives(folder)
    files.write_text(raw / VAL_LABELS, "".join(f"{wnid}\n" for wnid in _val_wnids(folder / DEVKIT.name)))


def train_samples(folder: Path, file: str) -> Iterator[Sample]:
    """The training images: a tar of a tar for each class; `file` is how the outer one is named in the index."""
    for wnid, inner in sorted(class_tars(folder / TRAIN.name).items()):
        for image in sorted(inner_members(inner)):
            yield Sample("train", wnid, f"{wnid}/{image.name}", file, image.offset, image.size)


def val_samples(folder: Path, raw: Path, file: str, left_out: frozenset[int] = frozenset()) -> Iterator[Sample]:
    """The validation images by class and name, less the numbers `left_out`."""
    found = {Path(member.name).name: member for member in members(folder / VAL.name)}
    wnids = enumerate((raw / VAL_LABELS).read_text().split(), 1)
    for wnid, number in sorted((wnid, number) for number, wnid in wnids if number not in left_out):
        name = VAL_NAME.format(number)
        if name not in found:
            raise ValueError(f"{folder / VAL.name} lacks {name}: download it again")
        yield Sample("val", wnid, f"{wnid}/{name}", file, found[name].offset, found[name].size)


def class_tars(outer: Path) -> dict[str, Member]:
    """Class -> its tar inside the tar `outer`."""
    tars: dict[str, Member] = {}
    for member in members(outer):
        if member.name.endswith(".tar") and not hidden(member.name):
            former = tars.setdefault(Path(member.name).name.removesuffix(".tar"), member)
            if former.name != member.name:
                raise ValueError(f"{outer} holds both {former.name} and {member.name}: which is the class's?")
            tars[Path(member.name).name.removesuffix(".tar")] = member
    if not tars:
        raise ValueError(f"{outer} should hold a .tar for each class, and holds none")
    return tars


def blacklist(folder: Path) -> frozenset[int]:
    """The numbers of the validation images that the owners left out of ILSVRC-2014's scores.

    Raises:
        ValueError: neither the list nor the development kit with it is in the folder.
    """
    listed, devkit = folder / BLACKLIST, folder / BLACKLIST_DEVKIT
    if listed.is_file():
        text, where = listed.read_text(errors="replace"), listed
    elif devkit.is_file():
        text, where = _from_tar(devkit, f"ILSVRC2014_devkit/data/{BLACKLIST}").decode(errors="replace"), devkit
    else:
        raise ValueError(
            f"{folder} has no {BLACKLIST}: it is in {BLACKLIST_DEVKIT} of https://image-net.org (ILSVRC 2014);"
            " put either of them there, or use dataset: imagenet in params.yaml"
        )
    numbers = frozenset(int(word) for word in text.split() if word.isdigit())
    if len(numbers) != NUM_BLACKLISTED or not numbers <= set(range(1, NUM_VAL + 1)):
        raise ValueError(f"{where} should list {NUM_BLACKLISTED} images; {len(numbers)} were found")
    return numbers


def _check_archives(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"data.path = {str(folder)!r} in params.yaml is no folder; it should be {PATH}")
    missing = [remote for remote in REMOTES if not (folder / remote.name).is_file()]
    if missing:
        each = "".join(f"\n  {remote.name} ({remote.described()})" for remote in missing)
        raise ValueError(
            f"{folder}, which data.path in params.yaml names, lacks:{each}\n"
            f"download them from {ADDRESS} (you must log in and agree to its terms) and put them there as they are"
        )
    for remote in sorted(REMOTES, key=lambda remote: remote.size or 0):
        wrong = mismatch(folder / remote.name, remote, DOWNLOADS / "imagenet")
        if wrong:
            raise ValueError(f"{folder / remote.name} is not the file of image-net.org: {wrong}; download it again")


def class_numbers(options: Mapping[str, Any]) -> dict[str, int]:
    """Class -> its number in the owners' submissions, ILSVRC2012_ID, of the devkit at `data.path`."""
    return {wnid: number for number, wnid in _wnids(Path(options["path"]) / DEVKIT.name).items()}


def _wnids(devkit: Path) -> dict[int, str]:
    """The classes by the devkit's numbers, which go in an order of its own, from 1."""
    import io

    from scipy.io import loadmat

    synsets = loadmat(io.BytesIO(_from_tar(devkit, META)), squeeze_me=True)["synsets"]
    return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets if row["num_children"] == 0}


def _val_wnids(devkit: Path) -> list[str]:
    """The class of each validation image."""
    wnid = _wnids(devkit)
    wnids = [wnid[int(number)] for number in _from_tar(devkit, TRUTH).split()]
    if (len(wnid), len(wnids)) != (NUM_CLASSES, NUM_VAL):
        raise ValueError(f"{devkit} has {len(wnid)} classes and {len(wnids)} labels: download it again")
    return wnids


def _from_tar(archive: Path, name: str) -> bytes:
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile(name)
            assert content
            found = content.read()
            while tar.fileobj and tar.fileobj.read(CHUNK_BYTES):  # gzip's checksum stands at the end
                pass
            return found
    except (tarfile.TarError, zlib.error, KeyError, EOFError, OSError) as error:
        raise ValueError(f"{archive} cannot give {name} ({error}): download it again") from None
