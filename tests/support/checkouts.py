"""A checkout of its own for each test module, and the commands that a person types there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import forked_snakemake
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHECKOUT = [
    "Snakefile",
    "workflow",
    "profiles",
    "params.yaml",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "environment.yml",
]
DVC_FILES = [".dvc/config", ".dvc/.gitignore", ".dvc/plots"]
BIN = Path(sys.executable).parent


class Checkout:
    """A folder with the project's files, as a clone or a tarball would hold them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command in the folder; its program is this environment's."""
        environment = self.environment(**variables)
        program = str(BIN / command[0]) if (BIN / command[0]).exists() else command[0]
        done = subprocess.run(
            [program, *command[1:]], cwd=self.folder, env=environment, text=True, capture_output=True, timeout=900
        )
        assert not check or done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done

    def environment(self, **variables: str) -> dict[str, str]:
        """The tests' environment, in which git looks no higher than the folder."""
        return {**os.environ, "GIT_CEILING_DIRECTORIES": str(self.folder.parent), **variables}

    def snakemake(self, *words: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """The plain command, with `words` after it; `run("snakemake", ...)` starts the program, a second slower."""
        done = forked_snakemake.run(["--cores", "all", *words], self.folder, self.environment(**variables))
        assert not check or done.returncode == 0, f"{words}:\n{done.stdout}\n{done.stderr}"
        return done

    def jobs(self, *words: str) -> dict[str, int]:
        """Rule -> number of jobs that a dry run lists; without the targets, which do nothing."""
        text = self.snakemake("--dry-run", *words).stdout
        listed = re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)
        return {rule: int(count) for rule, count in listed if rule not in ("all", "data", "models", "total")}

    def write(self, name: str, **values) -> None:
        """A YAML file with these values."""
        (self.folder / name).write_text(yaml.safe_dump(values))

    def edit(self, **values) -> dict:
        """Changes params.yaml and gives back what stood there."""
        before = yaml.safe_load((self.folder / "params.yaml").read_text())
        self.write("params.yaml", **{**before, **values})
        return before


def new_checkout(folder: Path, source: Path = ROOT) -> Checkout:
    """The project's own files at `source`, copied to a new folder."""
    for name in CHECKOUT + DVC_FILES:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy
        copy(source / name, target)
    (folder / "results").mkdir()
    return Checkout(folder)


def with_git(checkout: Checkout) -> Checkout:
    """The same, as a git repository with everything committed."""
    checkout.run("git", "init", "-q")
    checkout.run("git", "add", "-A")
    checkout.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "start")
    return checkout
