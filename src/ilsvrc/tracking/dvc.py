"""DVC's record of data, models and metrics."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ilsvrc.runtime import files, parent_death, unrecorded

MARKER = Path("work/recorded.json")


@dataclass(frozen=True)
class RecordJob:
    """A record of the working folder: the reason to leave it out (empty: none), `dvc.yaml`'s folders, the marker."""

    skip: str
    folders: tuple[Path, ...]  # empty where nothing was written to them: DVC wants all that dvc.yaml names
    output: Path = MARKER


def record(job: RecordJob) -> str:
    """Commits to DVC and writes the marker; returns the reason why DVC recorded nothing, empty where it did.

    Raises:
        ValueError: DVC failed.
    """
    reason = job.skip or left_to_dvc()
    if not job.skip:
        unrecorded.show()
    if not reason:
        prepare()
        for folder in job.folders:
            folder.mkdir(parents=True, exist_ok=True)
        run_dvc("commit", "--force", "--no-relink")
        unrecorded.drop()
    mark(job.output, recorded=not reason, reason=reason)
    return reason


def mark(path: Path, recorded: bool, reason: str) -> None:
    """Writes the rule's marker."""
    files.write_text(path, json.dumps({"recorded": recorded, "reason": reason}) + "\n")


def prepare() -> None:
    """Sets DVC up in the folder, with git and without."""
    in_git = (
        shutil.which("git") is not None and not subprocess.run(["git", "rev-parse"], capture_output=True).returncode
    )
    if not Path(".dvc").is_dir():
        run_dvc("init", "--quiet", *([] if in_git else ["--no-scm"]))
    local = Path(".dvc/config.local")
    if not in_git and "no_scm" not in (local.read_text() if local.exists() else ""):
        run_dvc("config", "--local", "core.no_scm", "true")


def run_dvc(*words: str) -> None:
    """Runs one DVC command.

    Raises:
        ValueError: it failed; the message repeats DVC's.
    """
    command = [sys.executable, "-m", "ilsvrc.runtime.parent_death", "dvc", *words]
    own = os.environ | {parent_death.PARENT: str(os.getpid())}
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"`dvc {' '.join(words)}` failed:\n{done.stderr.strip() or done.stdout.strip()}")


def left_to_dvc() -> str:
    """Reason to leave the record to DVC, empty where there is none."""
    return "this is a stage of `dvc repro` or `dvc exp run`, which records it" if os.environ.get("DVC_STAGE") else ""
