"""A browser for the tests that look at pages."""

from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    if chromium.find() is None:
        pytest.skip("no Chromium is here: apt-get install chromium")
    browser = chromium.Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def browser(started: chromium.Browser, tmp_path: Path) -> chromium.Browser:
    """The browser with a new tab."""
    started.fresh()
    return started
