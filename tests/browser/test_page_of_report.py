"""The report as a browser shows it."""

import base64
import re
from pathlib import Path

import fake_results
import pytest
from chromium import Browser

from ilsvrc.stages import report, score


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, started: Browser) -> str:
    folder = tmp_path_factory.mktemp("page")
    members = [
        fake_results.run(name, seed, {"learning_rate": rate})
        for name in ("alexnet", "resnet18") for seed in (0, 1) for rate in (0.01, 0.05)
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for i, run in enumerate(members):
            fake_results.write_run(run, wrong={"single_crop": list(range(i)), "ten_crop": []})
        files = fake_results.at(folder)
        spec = fake_results.data_spec(
            *members, swept=["learning_rate"], ensembles=[fake_results.ensemble("all", *members)]
        )
        given = ["--spec", spec, "--scores", str(files["scores"]), "--curves", str(files["curves"])]
        given += ["--tables", str(files["tables"])]
        score.main(score.arguments().parse_args([*given, "--metrics", str(files["metrics"])]))
        places = [f"--{name}={files[name]}" for name in ("report", "figures")]
        report.main(report.arguments().parse_args([*given, *places, "--packed", str(folder / "packed")]))
    return files["report"].as_uri()


def test_it_opens_without_an_error_and_asks_for_nothing_else(browser: Browser, address: str) -> None:
    browser.go(address)
    assert browser.value("document.title").startswith("ilsvrc: ")
    assert browser.value("document.querySelectorAll('figure svg').length") > 3
    assert browser.requests() == [address]
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_window(width: int, browser: Browser, address: str) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 700)
    browser.go(address)
    assert browser.value("innerWidth") == width
    assert browser.value("document.scrollingElement.scrollWidth") <= width


COLUMN = "[...document.querySelectorAll('#errors table.sortable tbody tr')].map(row => row.cells[{}].dataset.v)"
HEAD = "[...document.querySelectorAll('#errors table.sortable thead th')]"


def test_a_click_on_a_heading_sorts_and_another_turns_it_round(browser: Browser, address: str) -> None:
    browser.go(address)
    at = browser.value(f"{HEAD}.findIndex(head => head.textContent.startsWith('Top-1 error'))")
    before = [float(error) for error in browser.value(COLUMN.format(at))]
    assert len(before) == 18  # 8 runs and an ensemble, by two protocols
    assert before != sorted(before)
    for direction, wanted in (("ascending", sorted(before)), ("descending", sorted(before)[::-1])):
        browser.click(f"{HEAD}[{at}]")
        assert browser.value(f"{HEAD}[{at}].getAttribute('aria-sort')") == direction
        assert [float(error) for error in browser.value(COLUMN.format(at))] == wanted
    assert browser.complaints() == []


def brightness(browser: Browser, style: str) -> float:
    """Mean of red, green and blue, 0 to 255."""
    colour = browser.value(f"getComputedStyle(document.body).{style}")
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


def test_it_is_dark_where_the_reader_wants_that(browser: Browser, address: str) -> None:
    browser.go(address)
    for scheme, is_dark in (("light", False), ("dark", True)):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.call("Emulation.setEmulatedMedia", features=features)
        assert (brightness(browser, "backgroundColor") < 60) == is_dark
        assert (brightness(browser, "color") > 200) == is_dark


def test_it_prints_on_white_pages_that_hold_all_columns(browser: Browser, address: str, tmp_path: Path) -> None:
    browser.go(address)
    browser.call(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    assert brightness(browser, "backgroundColor") == 255
    assert brightness(browser, "color") == 0
    content = base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert content.startswith(b"%PDF")
    pages = re.findall(rb"/MediaBox \[0 0 (\d+)[.\d]* (\d+)", content)
    assert pages
    assert all(int(width) > int(height) for width, height in pages)  # A4 on its side
