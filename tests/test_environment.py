"""The ways to install name the same versions."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FROM_CONDA = {"opencv-python-headless"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    pins = re.findall(r"^([\w.-]+)==([^ \\\n]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return {canonical(name): version for name, version in pins}


@pytest.fixture(scope="module")
def conda() -> dict[str, str]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    return {canonical(name): version for name, version in (pin.split("==") for pin in pip if "==" in pin)}


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["ffcv"]
    return {canonical(re.match(r"[\w.-]+", line)[0]) for line in wanted}


def test_environment_yml_names_the_versions_of_the_lock(conda, locked):
    assert conda == {name: locked[name] for name in conda}


def test_lock_and_environment_yml_hold_every_declared_dependency(conda, locked):
    assert declared() <= set(locked)
    assert declared() - FROM_CONDA <= set(conda)


def test_there_is_one_opencv(locked):
    assert [name for name in locked if name.startswith("opencv")] == ["opencv-python-headless"]


def test_lock_has_a_hash_for_every_package_and_no_address():
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=[A-Za-z])", text)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)
    assert not re.search(r"https?://|--index|--find-links|--trusted", text)
