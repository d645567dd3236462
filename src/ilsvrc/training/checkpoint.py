"""Checkpoints: all that a training needs to go on as if it had never stopped, in one file, whole or not at all."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ilsvrc.training.loop import Progress, Training

NAME = "checkpoint.pt"
FORMAT = 1


def save(folder: Path, training: Training, progress: Progress, **facts: Any) -> None:
    """Writes beside the final name, then renames.

    `facts` (plain values) come back from `load`: the identity of the run, the machine's choices. No state of random
    generators is kept, since all that is random is a function of the step.
    """
    content = {
        "format": FORMAT,
        "network": training.network.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "errors": training.schedule.errors,
        "progress": asdict(progress),
        **facts,
    }
    beside = folder / f"{NAME}.part"
    with beside.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / NAME)


def load(folder: Path, identity: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The checkpoint in `folder` on the CPU, or None and why it cannot be used (nothing where there is none)."""
    path = folder / NAME
    if not path.exists():
        return None, ""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = content["format"], content["identity"]
    except Exception as error:  # of many kinds: a damaged archive, a pickle that is not weights
        return None, f"{path} is damaged ({type(error).__name__}), training starts anew"
    if found != (FORMAT, dict(identity)):
        return None, f"{path} is of another specification or other data, training starts anew"
    return content, ""


def restore(content: Mapping[str, Any], training: Training) -> Progress:
    """Brings weights, optimizer and schedule to where `content` was saved, and says how far that is."""
    training.network.load_state_dict(content["network"])
    training.optimizer.load_state_dict(content["optimizer"])
    training.schedule.errors[:] = content["errors"]
    return Progress(**content["progress"])
