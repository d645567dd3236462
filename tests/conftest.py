"""What every test may use."""

from pathlib import Path

import pytest

pytest_plugins = ["packed_files"]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs (flowers17.tar, cifar10.tar) beside a developer's checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real photographs, ../shared/data, is not here")
    return folder
