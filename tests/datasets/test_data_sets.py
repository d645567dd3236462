"""Each data set from tiny archives in its owners' exact formats: fetched, indexed and packed, every image right."""

import csv
import gzip
import hashlib
import io
import json
import struct
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from faulty_server import Server, serving
from PIL import Image
from scipy.io import savemat

from ilsvrc.config import registry
from ilsvrc.config.specs import FormSpec, PackSpec, SourceSpec
from ilsvrc.datasets import _ilsvrc2012, _index, _svhn, cifar10, cifar100, flowers102, imagenette, imagewoof, mnist
from ilsvrc.datasets._acquire import AcquireJob, acquire
from ilsvrc.packing.pack_split import PackJob, pack_split
from ilsvrc.packing.read_bytes import image_content, sample_bytes
from ilsvrc.runtime import download, http
from ilsvrc.runtime.download import Remote

RANDOM = np.random.default_rng(0)
BY_PATH = {"folder", "imagenet", "imagenet21k", "imagenet_nonblacklisted"}


@dataclass
class Expected:
    """What should come out: (split, class, name) -> pixels or encoded bytes, and the options to ask with."""

    images: dict[tuple[str, str, str], np.ndarray | bytes] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        return dict(Counter(split for split, _, _ in self.images))


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def jpeg(side_px: int = 24) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(side_px, side_px + 3, 3)).save(file, "JPEG")
    return file.getvalue()


def tar(members: dict[str, bytes], mode: str = "w", folders: tuple[str, ...] = ()) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name in folders:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def mat(**arrays: object) -> bytes:
    file = io.BytesIO()
    savemat(file, arrays, do_compression=True)
    return file.getvalue()


class World:
    """A server with the tiny archives, and modules that believe them to be the owners'."""

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.monkeypatch = server, monkeypatch

    def serve(self, remote: Remote, content: bytes) -> Remote:
        """The remote with this content's checksum, size and address; its name and kind of checksum stay."""
        self.server.files[remote.name] = content
        algorithm = remote.checksum.split(":")[0]
        digest = hashlib.md5(content[: 1 << 20] if algorithm == "md5_of_first_mib" else content).hexdigest()
        assert remote.addresses and all(address.endswith(f"/{remote.name}") for address in remote.addresses)
        return Remote(remote.name, f"{algorithm}:{digest}", len(content), (f"{self.server.address}/{remote.name}",))

    def believe(self, module: ModuleType, name: str, value: object) -> None:
        self.monkeypatch.setattr(module, name, value)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(http, "FIRST_PAUSE_S", 0.01)
    with serving() as server:
        yield World(server, monkeypatch)


def cifar10_world(world: World) -> Expected:
    expected, members, number = Expected(), {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"}, 0
    for name in (*cifar10.TRAIN, cifar10.TEST):
        records = b""
        for place in range(10):
            label, pixels = (place * 7) % 10, noise(3, 32, 32)  # red, green and blue planes
            records += bytes([label]) + pixels.tobytes()
            split, count = ("val", place) if name == cifar10.TEST else ("train", number)
            number += name != cifar10.TEST
            class_name = cifar10.CLASSES[label]
            expected.images[split, class_name, f"{class_name}/{count:06d}"] = pixels.transpose(1, 2, 0)
        members[f"cifar-10-batches-bin/{name}"] = records
    world.believe(cifar10, "REMOTE", world.serve(cifar10.REMOTE, tar(members, "w:gz", ("cifar-10-batches-bin",))))
    return expected


def cifar100_world(world: World) -> Expected:
    names = [f"fine_{label:02d}" for label in range(100)]
    expected, members = Expected(), {"cifar-100-binary/fine_label_names.txt": "\n".join([*names, ""]).encode()}
    for split, name in (("train", "train.bin"), ("val", "test.bin")):
        records = b""
        for number in range(100):
            label, pixels = (number * 7) % 100, noise(3, 32, 32)
            records += bytes([label // 5, label]) + pixels.tobytes()  # coarse, fine
            expected.images[split, names[label], f"{names[label]}/{number:06d}"] = pixels.transpose(1, 2, 0)
        members[f"cifar-100-binary/{name}"] = records
    world.believe(cifar100, "REMOTE", world.serve(cifar100.REMOTE, tar(members, "w:gz", ("cifar-100-binary",))))
    return expected


def mnist_world(world: World) -> Expected:
    expected, remotes = Expected(), []
    for split, prefix, count in (("train", "train", 30), ("val", "t10k", 20)):
        pixels, labels = noise(count, 28, 28), np.arange(count, dtype=np.uint8) * 3 % 10
        files = {
            f"{prefix}-images-idx3-ubyte": struct.pack(">IIII", 0x803, count, 28, 28) + pixels.tobytes(),
            f"{prefix}-labels-idx1-ubyte": struct.pack(">II", 0x801, count) + labels.tobytes(),
        }
        by_name = {remote.name: remote for remote in mnist.REMOTES}
        remotes += [world.serve(by_name[f"{name}.gz"], gzip.compress(content)) for name, content in files.items()]
        for number, label in enumerate(labels.tolist()):
            grey = np.repeat(pixels[number][:, :, None], 3, axis=2)
            expected.images[split, str(label), f"{label}/{number:05d}"] = grey
    world.believe(mnist, "REMOTES", tuple(remotes))
    return expected


def svhn_world(world: World, parts: tuple[str, ...] = ("train", "extra", "test")) -> Expected:
    expected, remotes, train = Expected(), {}, 0
    for part in parts:
        count = 30
        pixels, labels = noise(32, 32, 3, count), np.arange(count)[:, None] % 10 + 1  # 10 is the digit 0
        remotes[part] = world.serve(_svhn.REMOTES[part], mat(X=pixels, y=labels.astype(np.uint8)))
        for place in range(count):
            name, number = str(labels[place, 0] % 10), place if part == "test" else train
            train += part != "test"
            split = "val" if part == "test" else "train"
            expected.images[split, name, f"{name}/{number:06d}"] = pixels[..., place]
    world.believe(_svhn, "REMOTES", remotes)
    return expected


def flowers102_world(world: World) -> Expected:
    jpegs = [jpeg() for _ in range(306)]
    labels = [place % 102 + 1 for place in range(306)]
    parts = {"trnid": range(1, 103), "valid": range(103, 205), "tstid": range(205, 307)}
    members = {f"jpg/image_{number:05d}.jpg": content for number, content in enumerate(jpegs, 1)}
    contents = {
        "102flowers.tgz": tar(members, "w:gz", ("jpg",)),
        "imagelabels.mat": mat(labels=np.array([labels], np.uint8)),
        "setid.mat": mat(**{key: np.array([list(numbers)], np.uint16) for key, numbers in parts.items()}),
    }
    served = {name: world.serve(flowers102.REMOTES[name], content) for name, content in contents.items()}
    world.believe(flowers102, "REMOTES", served)
    expected = Expected()
    for key, numbers in parts.items():
        for number in numbers:
            name = flowers102.CLASSES[labels[number - 1] - 1]
            split = "val" if key == "tstid" else "train"
            expected.images[split, name, f"{name}/image_{number:05d}.jpg"] = jpegs[number - 1]
    return expected


def fastai_world(module: ModuleType, top: str) -> Callable[[World], Expected]:
    def make(world: World) -> Expected:
        expected, members = Expected(), {f"{top}/noisy_{module.__name__}.csv": b"path,label\n"}
        for split in ("val", "train"):
            for place in range(10):
                wnid, name = f"n{place:08d}", f"n{place:08d}_{split}.JPEG"
                members[f"{top}/{split}/{wnid}/{name}"] = expected.images[split, wnid, f"{wnid}/{name}"] = jpeg()
        members[f"{top}/.DS_Store"] = members[f"{top}/train/n00000000/._n00000000_train.JPEG"] = b"litter"
        world.believe(module, "REMOTE", world.serve(module.REMOTE, tar(members, "w:gz", (top,))))
        return expected

    return make


def imagenet_files(expected: Expected) -> dict[str, bytes]:
    """Three classes with two images each, five validation images, and a devkit that numbers otherwise."""
    wnids = ["n01440764", "n01443537", "n15075141"]
    inner = {}
    for wnid in reversed(wnids):
        images = {f"{wnid}_{number}.JPEG": jpeg() for number in (10026, 7)}
        inner[f"{wnid}.tar"] = tar(images)
        expected.images |= {("train", wnid, f"{wnid}/{name}"): content for name, content in images.items()}
    truth = [3, 1, 1, 2, 3]  # the devkit's numbers
    order = {1: "n15075141", 2: "n01440764", 3: "n01443537"}
    val = {f"ILSVRC2012_val_{number:08d}.JPEG": jpeg() for number in range(1, 6)}
    for label, (name, content) in zip(truth, val.items(), strict=True):
        expected.images["val", order[label], f"{order[label]}/{name}"] = content
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = [(number, wnid, "words", 0) for number, wnid in order.items()] + [(4, "n00001740", "entity", 3)]
    synsets = np.array([rows], dtype=fields).T
    devkit = {
        _ilsvrc2012.META: mat(synsets=synsets),
        _ilsvrc2012.TRUTH: "".join(f"{label}\n" for label in truth).encode(),
    }
    return {
        "ILSVRC2012_img_train.tar": tar(inner),
        "ILSVRC2012_img_val.tar": tar(dict(reversed(val.items()))),
        "ILSVRC2012_devkit_t12.tar.gz": tar(devkit, "w:gz"),
    }


def imagenet_world(world: World) -> Expected:
    expected = Expected(options={"path": "ilsvrc"})
    Path("ilsvrc").mkdir()
    remotes, files = [], imagenet_files(expected)
    for remote in _ilsvrc2012.REMOTES:
        content = files[remote.name]
        Path("ilsvrc", remote.name).write_bytes(content)
        remotes.append(Remote(remote.name, f"md5:{hashlib.md5(content).hexdigest()}", len(content)))
    world.believe(_ilsvrc2012, "REMOTES", tuple(remotes))
    for name, number in (("NUM_CLASSES", 3), ("NUM_TRAIN", 6), ("NUM_VAL", 5), ("NUM_BLACKLISTED", 2)):
        world.believe(_ilsvrc2012, name, number)
    return expected


def nonblacklisted_world(world: World) -> Expected:
    expected = imagenet_world(world)
    listed = {"ILSVRC2014_devkit/data/ILSVRC2014_clsloc_validation_blacklist.txt": b"1\n4\n"}
    Path("ilsvrc/ILSVRC2014_devkit.tgz").write_bytes(tar(listed, "w:gz"))
    left_out = ("00000001.JPEG", "00000004.JPEG")
    kept = {key: value for key, value in expected.images.items() if not key[2].endswith(left_out)}
    return Expected(kept, expected.options)


def imagenet21k_world(world: World) -> Expected:
    expected, inner = Expected(options={"path": "fall11_whole.tar"}), {}
    for wnid in ("n00000002", "n00000001"):
        images = {f"{wnid}_{number}.JPEG": jpeg(8) for number in range(80)}
        inner[f"{wnid}.tar"] = tar(images)
        for name, content in images.items():
            number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
            expected.images["train" if number % 50 else "val", wnid, f"{wnid}/{name}"] = content
    Path("fall11_whole.tar").write_bytes(tar(inner))
    return expected


def imagenet21k_folder_world(world: World) -> Expected:
    expected = imagenet21k_world(world)
    with tarfile.open("fall11_whole.tar") as outer:
        outer.extractall("per_class", filter="data")
    return Expected(expected.images, {"path": str(Path("per_class").absolute())})


WORLDS = {
    "cifar10": cifar10_world,
    "cifar100": cifar100_world,
    "mnist": mnist_world,
    "svhn": svhn_world,
    "svhn_core": lambda world: svhn_world(world, ("train", "test")),
    "flowers102": flowers102_world,
    "imagenette": fastai_world(imagenette, "imagenette2"),
    "imagewoof": fastai_world(imagewoof, "imagewoof2"),
    "imagenet": imagenet_world,
    "imagenet_nonblacklisted": nonblacklisted_world,
    "imagenet21k": imagenet21k_world,
    "imagenet21k in a folder": imagenet21k_folder_world,
}


def acquired(dataset: str, options: dict[str, str]) -> Path:
    """The raw folder of an acquired data set."""
    raw = Path("data/raw", dataset)
    acquire(AcquireJob(SourceSpec(dataset=dataset, options=options), raw / "source.json", raw / "index.csv"))
    return raw


def packed(raw: Path, split: str, form: FormSpec) -> tuple[dict, list[dict[str, str]]]:
    out = Path("packed")
    files = (out / f"{split}.{suffix}" for suffix in ("beton", "json", "csv", "npy"))
    pack_split(PackJob(PackSpec(**form.model_dump()), raw / "source.json", raw / "index.csv", split, *files))
    with (out / f"{split}.csv").open() as file:
        return json.loads((out / f"{split}.json").read_text()), list(csv.DictReader(file))


def believe_counts(world: World, dataset: str, expected: Expected) -> None:
    """The card with as many images and classes as the tiny archives have."""
    module = registry.load("datasets", dataset)
    counts = expected.counts() if module.CARD.counts else {}
    classes = len({label for _, label, _ in expected.images}) if module.CARD.classes else None
    world.believe(module, "CARD", replace(module.CARD, counts=counts, classes=classes))


@pytest.mark.parametrize("name", WORLDS)
def test_every_image_comes_out_as_it_went_in(world, name: str):
    dataset = name.split()[0]
    expected = WORLDS[name](world)
    believe_counts(world, dataset, expected)
    raw = acquired(dataset, expected.options)
    found = [sample for split in ("train", "val") for sample in _index.read(raw / "index.csv", split)]
    keys = [(sample.split, sample.label_name, sample.name) for sample in found]
    assert keys == sorted(expected.images)
    for key, sample in zip(keys, found, strict=True):
        assert np.array_equal(image_content(sample, sample_bytes(sample, raw)), expected.images[key])
    for archive in registry.load("datasets", dataset).CARD.archives:
        assert (raw / archive).is_file()
    assert not list(raw.glob("*.part"))


@pytest.mark.parametrize("name", WORLDS)
def test_every_image_is_packed_right(world, name: str):
    dataset = name.split()[0]
    expected = WORLDS[name](world)
    believe_counts(world, dataset, expected)
    raw = acquired(dataset, expected.options)
    card = registry.load("datasets", dataset).CARD
    form = FormSpec(data=dataset, encoding=card.encoding, short_side_px=card.short_side_px)
    for split in ("train", "val"):
        manifest, images = packed(raw, split, form)
        contents = packed_payloads(Path("packed", f"{split}.beton"))
        mine = {key: content for key, content in sorted(expected.images.items()) if key[0] == split}
        assert [row["name"] for row in images] == [name for _, _, name in mine]
        for content, given, row in zip(contents, mine.values(), images, strict=True):
            assert content == (given if isinstance(given, bytes) else given.tobytes())
            assert manifest["classes"][int(row["label"])] == row["label_name"]
        how = "passed_through" if card.encoding == "jpeg" else "raw"
        assert manifest["stored"][how] == manifest["num_images"] == len(mine)


def packed_payloads(beton: Path) -> list[bytes]:
    from ilsvrc.packing.beton import open_packed

    opened = open_packed(beton)
    content = opened.mapped()
    return [opened.payload(content, place).tobytes() for place in range(opened.num_images)]


@pytest.mark.parametrize("dataset", sorted(set(registry.names("datasets")) - {"digits", "folder"}))
def test_cards_are_full(dataset: str):
    card = registry.load("datasets", dataset).CARD
    assert card.title and card.licence and card.address.startswith("http") and card.papers
    assert bool(card.path) == (dataset in BY_PATH)
    assert card.crop_px is None and not card.upscale
    assert (card.mean is None) == (card.std is None) == (not card.mean_std_source)
    assert set(card.counts) == ({"train", "val"} if card.classes else set())


def test_papers_names_are_those_of_the_results():
    from ilsvrc.reporting import published_results

    known = {row.dataset for row in published_results.results()}
    named = {registry.load("datasets", name).CARD.papers_data for name in registry.names("datasets")} - {None}
    assert named <= known
    assert len(named) == 6


def test_every_data_set_with_downloads_states_checksums():
    remotes = [
        *(cifar10.REMOTE, cifar100.REMOTE, imagenette.REMOTE, imagewoof.REMOTE),
        *(*mnist.REMOTES, *_svhn.REMOTES.values(), *flowers102.REMOTES.values(), *_ilsvrc2012.REMOTES),
    ]
    for remote in remotes:
        algorithm, digest = remote.checksum.split(":")
        assert algorithm in download.ALGORITHMS
        assert len(digest) == 32 and set(digest) <= set("0123456789abcdef")
        assert remote.size


def test_a_second_acquire_fetches_nothing(world):
    expected = cifar10_world(world)
    believe_counts(world, "cifar10", expected)
    raw = acquired("cifar10", {})
    (raw / cifar10.TEST).unlink()
    acquired("cifar10", {})
    assert len(world.server.asked) == 1
    assert (raw / cifar10.TEST).is_file()


def test_too_few_images_leave_no_index(world):
    cifar10_world(world)
    with pytest.raises(ValueError, match="should have 50000 images in train; 50 were found: remove data/raw/cifar10"):
        acquired("cifar10", {})
    assert not list(Path("data/raw/cifar10").glob("*index*"))
    assert not Path("data/raw/cifar10/source.json").exists()


def test_a_damaged_archive_that_its_checksum_lets_pass_is_named(world):
    whole = gzip.compress(tar({"imagenette2/train/a/1.JPEG": jpeg(64)}))
    world.believe(imagenette, "REMOTE", world.serve(imagenette.REMOTE, whole[:-200]))
    with pytest.raises(ValueError, match=r"imagenette2.tgz is damaged \(.*\): remove it and run again"):
        acquired("imagenette", {})
    assert [path.name for path in Path("data/raw/imagenette").iterdir()] == ["source.lock"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda: Path("ilsvrc/ILSVRC2012_img_val.tar").unlink(),
            "ilsvrc, which data.path .* lacks:\n  ILSVRC2012_img_v",
        ),
        (lambda: Path("ilsvrc/ILSVRC2012_img_val.tar").write_bytes(b"x"), "val.tar is not the file .* has 1 bytes and"),
        (lambda: flip("ilsvrc/ILSVRC2012_img_train.tar"), "train.tar is not the file .* its MD5 is .* and should be"),
        (lambda: Path("ilsvrc").rename("elsewhere"), "data.path = 'ilsvrc' in params.yaml is no folder; it should be"),
    ],
)
def test_wrong_archives_of_imagenet_are_named(world, break_it, message: str):
    expected = imagenet_world(world)
    believe_counts(world, "imagenet", expected)
    break_it()
    with pytest.raises(ValueError, match=message):
        acquired("imagenet", expected.options)


def flip(path: str) -> None:
    content = bytearray(Path(path).read_bytes())
    content[-1] ^= 1
    Path(path).write_bytes(content)


@pytest.mark.parametrize("listed", ["1\n", "1\n99999\n"])
def test_a_wrong_blacklist_is_an_error(world, listed: str):
    expected = nonblacklisted_world(world)
    Path("ilsvrc/ILSVRC2014_clsloc_validation_blacklist.txt").write_text(listed)
    with pytest.raises(ValueError, match="should list 2 images"):
        acquired("imagenet_nonblacklisted", expected.options)


def test_a_missing_blacklist_says_where_it_is(world):
    expected = imagenet_world(world)
    with pytest.raises(ValueError, match=r"has no ILSVRC2014_clsloc_validation_blacklist.txt: it is in ILSVRC2014_dev"):
        acquired("imagenet_nonblacklisted", expected.options)


def test_imagenets_classes_have_the_numbers_of_the_development_kit(world):
    expected = imagenet_world(world)
    numbers = {"n15075141": 1, "n01440764": 2, "n01443537": 3}
    assert registry.load("datasets", "imagenet").class_numbers(expected.options) == numbers


def test_a_fingerprint_of_imagenet_sees_the_archives_and_not_their_place(world):
    options = imagenet_world(world).options
    before = _ilsvrc2012.fingerprint(options)
    Path("ilsvrc").rename("moved")
    assert _ilsvrc2012.fingerprint(options) == "missing"
    assert _ilsvrc2012.fingerprint({"path": "moved"}) == before
    flip("moved/ILSVRC2012_img_val.tar")
    assert _ilsvrc2012.fingerprint({"path": "moved"}) != before


def test_a_folder_without_tars_is_no_imagenet21k(world):
    Path("empty").mkdir()
    for path in ("empty", "nowhere"):
        with pytest.raises(ValueError, match=r"holds no tars; it should be a folder of n00000000\.tar"):
            acquired("imagenet21k", {"path": path})


def test_litter_and_older_copies_are_no_images_of_imagenet21k(world):
    new, old = jpeg(8), jpeg(9)
    images = tar({"a_1.JPEG": old, "._a_1.JPEG": b"litter", "./a_1.JPEG": new})
    Path("it.tar").write_bytes(tar({"n1.tar": images, "._n1.tar": b"litter"}))
    Path("each").mkdir()
    Path("each/n1.tar").write_bytes(images)
    Path("each/._n1.tar").write_bytes(b"litter")
    for path in ("it.tar", "each"):
        raw = acquired("imagenet21k", {"path": path})
        found = _index.read(raw / "index.csv", "train")
        assert [sample_bytes(sample, raw) for sample in found] == [new]


def test_two_tars_of_one_class_are_an_error(world):
    Path("it.tar").write_bytes(tar({f"{part}/n1.tar": tar({"a_1.JPEG": jpeg(8)}) for part in "ab"}))
    with pytest.raises(ValueError, match=r"it.tar holds both a/n1.tar and b/n1.tar"):
        acquired("imagenet21k", {"path": "it.tar"})


def test_a_damaged_devkit_with_the_blacklist_is_named(world):
    expected = nonblacklisted_world(world)
    name = "ILSVRC2014_devkit/data/ILSVRC2014_clsloc_validation_blacklist.txt"
    devkit = bytearray(tar({name: repr(noise(200_000).tolist()).encode()}, "w:gz"))
    devkit[100_000:100_040] = b"\xff" * 40
    Path("ilsvrc/ILSVRC2014_devkit.tgz").write_bytes(devkit)
    with pytest.raises(ValueError, match=r"ILSVRC2014_devkit.tgz cannot give .*: download it again"):
        acquired("imagenet_nonblacklisted", expected.options)
