"""A checkout of its own for each test that asks for one."""

from pathlib import Path

import pytest
from checkouts import Checkout, new_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return new_checkout(tmp_path)
