"""Checkpoints: the whole state of a training in one file, from which it resumes as if it had never stopped.

Each ends with a checksum over all its bytes, which is compared before anything of it is used. The last two are kept:
where the newer one is damaged, the older one takes its place.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ilsvrc.runtime import checksum, files
from ilsvrc.training.state import Progress, Training

NAME, BEFORE = "checkpoint.pt", "checkpoint.before.pt"
FORMAT = 2

Identity = dict[str, str]  # the specification, and hashes of the images and weights that a training depends on


def save(folder: Path, training: Training, progress: Progress, **facts: Any) -> None:
    """Writes a checkpoint, whole or not at all; the checkpoint that was there becomes the one before.

    `facts` (plain values) come back from `load`: the identity of the run, the machine's choices. No state of random
    generators is kept, since all that is random is a function of the step.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the checkpoints that were there are as they were.
    """
    content = {
        "format": FORMAT,
        **{name: part.state_dict() for name, part in training.stateful_parts().items()},
        "errors": training.schedule.errors,
        "progress": asdict(progress),
        **facts,
    }
    try:
        _write(folder, content)
    except (OSError, RuntimeError) as error:
        raise OSError(f"no checkpoint could be written to {folder}: {str(error).splitlines()[0]}") from error


def _write(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes the newest checkpoint, once it is on the disk; what was the newest becomes the one before."""
    with files.atomically(folder / NAME) as unfinished:
        with unfinished.open("wb") as file:
            summed = checksum.ChecksumWriter(file)
            try:
                torch.save(content, summed)  # type: ignore[arg-type]  # it writes and flushes, no more
            except RuntimeError as error:  # torch's zip writer tells of a full disk as an unexpected position
                raise summed.failure or error from None
            summed.close_line()
        files.sync(unfinished)
        if (folder / NAME).exists():
            (folder / NAME).replace(folder / BEFORE)


def load(folder: Path, identity: Identity) -> tuple[dict[str, Any] | None, str]:
    """The newest checkpoint in `folder` that can be used, on the CPU, or None; and a message on it."""
    there = [folder / name for name in (NAME, BEFORE) if (folder / name).exists()]
    messages: list[str] = []
    for path in there:
        content, why = _load(path, identity)
        if content is not None:
            before = f"going on from the checkpoint before it, {path}"
            return content, "; ".join([*messages, before]) if messages else ""
        messages.append(why)
    return None, "; ".join([*messages, "training starts anew"]) if messages else ""


def _load(path: Path, identity: Identity) -> tuple[dict[str, Any] | None, str]:
    try:
        checksum.check_zip(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        made_from = content["format"], content["identity"]
    except Exception as error:  # of many kinds: a damaged archive, a pickle that is not weights
        return None, f"{path} is damaged ({type(error).__name__})"
    if made_from != (FORMAT, identity):
        return None, f"{path} is of another specification or other data"
    return content, ""


def restore(content: Mapping[str, Any], training: Training) -> Progress:
    """Restores every part that has a state from a checkpoint; the progress that it was saved at."""
    for name, part in training.stateful_parts().items():
        part.load_state_dict(content[name])
    training.schedule.errors[:] = content["errors"]
    progress = Progress(**content["progress"])
    training.world.restore_buffers(training.network, progress.buffers)
    return progress
