"""A typed JSON file that one stage writes and others read: frozen, validated, with a schema version."""

import errno
import json
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, InstanceOf, ValidationError

from ilsvrc.config import specs
from ilsvrc.runtime import files

VERSION_KEY = "schema_version"
Name = InstanceOf[str]  # any text, also a file's name that is not UTF-8


class JsonRecord(BaseModel):
    """A mapping in a file; keys that have a default are left out where they equal it.

    Version 1 is written without `schema_version`, as it was before versions were counted: these files' hashes are
    inputs of later stages.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())
    noun: ClassVar[str]  # for messages: `the manifest of a packed split`
    schema_version: ClassVar[int] = 1

    @classmethod
    def read(cls, path: Path) -> Self:
        """The content of `path`.

        Raises:
            FileNotFoundError: there is no such file.
            files.DamagedError: the file is damaged, or another kind of file.
            ValueError: it was written by a later version.
        """
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, f"{cls.noun} is missing; run snakemake, which writes it", str(path))
        return cls.parse(files.read_json(path), path)

    @classmethod
    def parse(cls, content: Any, path: Path) -> Self:
        """The record that the JSON `content` of `path` holds.

        Raises:
            files.DamagedError: it is another kind of file.
            ValueError: it was written by a later version.
        """
        found = content.get(VERSION_KEY, 1) if isinstance(content, dict) else 1
        if found > cls.schema_version:
            raise ValueError(
                f"{path} has {VERSION_KEY} {found}, and this version of ilsvrc reads up to {cls.schema_version}; "
                "update ilsvrc, or remove the file and run snakemake again"
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"])) or "content"
            why = "missing" if first["type"] == "missing" else first["msg"]
            raise files.DamagedError(path, f"is not {cls.noun} ({key}: {why})") from None

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        files.write_text(path, self.as_json())

    def as_json(self) -> str:
        """The file's text: keys in the order of the fields."""
        return json.dumps(self.model_dump(exclude_defaults=True), indent=1) + "\n"


class RunRecord(JsonRecord):
    """A file of a run's folder, which repeats the specification that the run was made from.

    `spec` is the canonical specification as it was hashed into `key`, and into the folder's name.
    """

    key: str
    spec: dict[str, Any]

    @property
    def made_from(self) -> specs.TrainSpec | specs.ImportSpec:
        """The specification of the training, or of the import of pretrained weights."""
        model = specs.ImportSpec if "source" in self.spec else specs.TrainSpec
        return model.model_validate(self.spec)
