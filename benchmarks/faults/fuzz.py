"""Packs damaged pictures and archives: each must be packed, or refused in a sentence that says why.

Each case runs in a process of its own. Lost is what ends in another error than a user's, dies by a signal, takes more
than a GB of memory or longer than half a minute. The same seed makes the same cases; `--keep`
writes those that are lost to a folder.
"""

import argparse
import contextlib
import io
import os
import random
import resource
import signal
import sys
import tarfile
import tempfile
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[2] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))

from images import photo  # noqa: E402

from ilsvrc.config.specs import FormSpec, PackSpec, SourceSpec  # noqa: E402
from ilsvrc.datasets._acquire import AcquireJob, acquire  # noqa: E402
from ilsvrc.packing.encode import store  # noqa: E402
from ilsvrc.packing.pack_split import PackJob, pack_split  # noqa: E402

KINDS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
FORMS = tuple(FormSpec(data="fuzz", encoding=encoding, verify=verify) for encoding, verify in
              (("jpeg", "decode"), ("jpeg", "structure"), ("raw", "decode")))  # fmt: skip
MAX_BYTES, SECONDS = 1 << 30, 30
NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"77777777777\0")
PACKED, REFUSED, LOST = range(3)


def mutated(content: bytes, chosen: random.Random) -> bytes:
    """Content damaged at one to four places."""
    damaged = bytearray(content)
    for _ in range(chosen.choice((1, 1, 2, 4))):
        size = max(1, len(damaged))
        place = chosen.randrange(min(size, chosen.choice((64, 600, size))))
        length = chosen.choice((1, 4, 32, 512, size // 3))
        match chosen.randrange(7):
            case 0:
                damaged[place : place + 1] = bytes([chosen.randrange(256)])
            case 1:
                damaged[place : place + 1] = bytes(
                    byte ^ 1 << chosen.randrange(8) for byte in damaged[place : place + 1]
                )
            case 2:
                del damaged[place:]
            case 3:
                del damaged[place : place + length]
            case 4:
                damaged[place:place] = damaged[place : place + length]
            case 5:
                damaged[place : place + length] = bytes(len(damaged[place : place + length]))
            case _:
                number = chosen.choice(NUMBERS)
                damaged[place : place + len(number)] = number
    return bytes(damaged)


def picture(kind: str, number: int) -> bytes:
    """A small picture."""
    file = io.BytesIO()
    photo(number).save(file, kind)
    return file.getvalue()


def archive(chosen: random.Random) -> bytes:
    """A small zip or tar of pictures in two classes and two splits."""
    file, deep = io.BytesIO(), "deep/" * 30 if chosen.randrange(3) == 0 else ""
    files = {
        f"{deep}{split}/{label}/{number}.png": picture("PNG", number)
        for split in ("train", "val") for label in "ab" for number in range(2)
    }  # fmt: skip
    if chosen.randrange(2):
        with zipfile.ZipFile(file, "w", chosen.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as zipped:
            for name, content in files.items():
                zipped.writestr(zipfile.ZipInfo(name), content, zipped.compression)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w", format=chosen.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def pack_picture(content: bytes, chosen: random.Random) -> None:
    """A picture's packed bytes."""
    store(content, chosen.choice(FORMS))


def pack_archive(content: bytes, chosen: random.Random) -> None:
    """An archive, acquired and packed."""
    skips = chosen.choice(("stop", "skip"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pictures").write_bytes(content)
        spec = SourceSpec.model_validate({"dataset": "folder", "options": {"path": str(folder / "pictures")}})
        source, index = folder / "raw" / "source.json", folder / "raw" / "index.csv"
        acquire(AcquireJob(spec, source, index))
        for split in ("train", "val"):
            outputs = (folder / f"{split}.{end}" for end in ("beton", "manifest.json", "images.csv", "mean_image.npy"))
            pack_split(PackJob(PackSpec(data="fuzz", on_bad_image=skips), source, index, split, *outputs))


def fate(pack: Callable[[bytes, random.Random], None], content: bytes, chosen: random.Random) -> tuple[int, str]:
    """What became of a case in a process of its own, and the reason where it was not packed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(SECONDS)
        os.write(writer, _outcome(pack, content, chosen).encode(errors="replace")[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return LOST, f"died by {signal.Signals(os.WTERMSIG(status)).name}"
    return int(said[0]), said[1:]


def _outcome(pack: Callable[[bytes, random.Random], None], content: bytes, chosen: random.Random) -> str:
    """The fate's number and the reason."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            pack(content, chosen)
        found = f"{PACKED}"
    except (ValueError, OSError) as error:
        bare = isinstance(error, OSError) and error.filename is None and error.errno is not None
        found = f"{LOST}{traceback.format_exc()}" if bare or not str(error) else f"{REFUSED}{error}"
    except BaseException:
        found = f"{LOST}{traceback.format_exc()}"
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024
    return found if peak < MAX_BYTES else f"{LOST}took {peak / 1e9:.1f} GB"


def fuzz(what: str, tries: int, chosen: random.Random, keep: Path | None) -> Counter[int]:
    """How many cases had which fate."""
    fates = Counter[int]()
    for number in range(tries):
        if what == "pictures":
            whole, pack = picture(KINDS[number % len(KINDS)], number % 8), pack_picture
        else:
            whole, pack = archive(chosen), pack_archive
        content = mutated(whole, chosen)
        found, why = fate(pack, content, chosen)
        fates[found] += 1
        if found == LOST:
            print(f"lost: {what} {number}: {why}", flush=True)
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{what}_{number}").write_bytes(content)
    return fates


def main() -> None:
    """Prints how many pictures and archives were tried, packed, refused and lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--archives", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    lost = 0
    for what, tries in (("pictures", args.pictures), ("archives", args.archives)):
        fates = fuzz(what, tries, random.Random(args.seed), args.keep)
        print(f"{what}: tried {tries}, packed {fates[PACKED]}, refused {fates[REFUSED]}, lost {fates[LOST]}")
        lost += fates[LOST]
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
