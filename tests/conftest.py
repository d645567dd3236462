"""Settings, order and fixtures of all tests."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# Two workers share the cores: threads that wait for each other by spinning would take most of their time. Before torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

pytest_plugins = ["packed_files"]

ROOT = Path(__file__).resolve().parent.parent
LONGEST = (  # files that take minutes: begun first, so that no worker is left alone with one at the end
    "workflow/test_whole_run.py",
    "models/test_architectures.py",
    "training/test_train.py",
    "workflow/test_own_pictures.py",
    "workflow/test_weights.py",
    "training/test_resume.py",
    "workflow/test_several_classes.py",
    "workflow/test_dry_run.py",
    "training/test_two_nodes.py",
    "training/test_hang.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first."""
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[Any]:
    """Skips where a fixture wants FFCV, which is not installed."""
    return (yield from _skipped_without_ffcv())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[Any]:
    """Skips where a test wants FFCV, which is not installed."""
    return (yield from _skipped_without_ffcv())


def _skipped_without_ffcv() -> Iterator[Any]:
    try:
        return (yield)
    except ValueError as error:
        if type(error).__name__ == "LoaderMissingError" and find_spec("ffcv") is None:
            pytest.skip("FFCV is not installed")
        raise


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs (flowers17.tar, cifar10.tar) beside a developer's checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real photographs, ../shared/data, is not here")
    return folder
