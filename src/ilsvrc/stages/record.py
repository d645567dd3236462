"""Records data, models and metrics with DVC: the last rule of the pipeline."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from ilsvrc.artifacts import run_files
from ilsvrc.runtime import cli, files

MARKER = Path("work/recorded.json")


def main(arguments: argparse.Namespace) -> None:
    """Commits to DVC unless someone else does or should, and leaves the marker."""
    reason = arguments.skip or _left_to_dvc()
    if reason:
        cli.say(f"not recorded by DVC: {reason}")
    else:
        prepare()
        for folder in (
            run_files.COSTS,
            run_files.INSPECTED,
        ):  # empty where not asked for: DVC wants what dvc.yaml names
            folder.mkdir(parents=True, exist_ok=True)
        dvc("commit", "--force", "--no-relink")
        cli.say("recorded by DVC in dvc.lock")
    mark(arguments.output, recorded=not reason, reason=reason)


def mark(path: Path, recorded: bool, reason: str) -> None:
    """Writes the marker that the rule leaves."""
    files.write_text(path, json.dumps({"recorded": recorded, "reason": reason}) + "\n")


def prepare() -> None:
    """Makes the folder one that DVC works in: with git and without."""
    in_git = subprocess.run(["git", "rev-parse"], capture_output=True).returncode == 0 if _has("git") else False
    if not Path(".dvc").is_dir():
        dvc("init", "--quiet", *([] if in_git else ["--no-scm"]))
    local = Path(".dvc/config.local")
    if not in_git and "no_scm" not in (local.read_text() if local.exists() else ""):
        dvc("config", "--local", "core.no_scm", "true")


def dvc(*words: str) -> None:
    """One DVC command.

    Raises:
        ValueError: it failed; with what it said.
    """
    done = subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"`dvc {' '.join(words)}` failed:\n{done.stderr.strip() or done.stdout.strip()}")


def _left_to_dvc() -> str:
    return "this is a stage of `dvc repro` or `dvc exp run`, which records it" if os.environ.get("DVC_STAGE") else ""


def _has(program: str) -> bool:
    return any(Path(folder, program).exists() for folder in os.get_exec_path())


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--spec", required=True, help="the whole configuration: what the record depends on")
    parser.add_argument("--skip", default="", help="why not to record")
    parser.add_argument("--output", type=Path, required=True)
    cli.run(main, parser)
