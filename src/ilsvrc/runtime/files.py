"""Text and JSON files: read, hashed, and written so that a reader never sees half of one."""

import hashlib
import json
from pathlib import Path
from typing import Any

Info = dict[str, Any]


def read_json(path: Path) -> Info:
    """The mapping that `path` holds."""
    try:
        content: Info = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}); remove it and run snakemake again") from None
    return content


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes beside `path`, then renames: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
