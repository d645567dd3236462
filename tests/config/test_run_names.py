"""Names of runs, packed forms and cost files are fixed: results that exist are found by them."""

import json
from pathlib import Path

import pytest

from ilsvrc.config import schema
from ilsvrc.pipeline import wiring

ROOT = Path(__file__).parents[2]
NAMES = json.loads((Path(__file__).parent / "run_names.json").read_text())


def names(path: str) -> dict[str, list[str]]:
    """Every name that a configuration file leads to, as `run_names.json` lists them."""
    flow = wiring.read(schema.read_yaml(ROOT / path), where=path)
    packed = {*(f"{flow.all_packed}/{form}" for form in flow.pack_specs), flow.packed, flow.packed_for_test}
    return {
        "runs": sorted({*flow.trained, *flow.imported}),
        "reported": sorted(flow.runs),
        "ensembles": sorted(ensemble.name for ensemble in flow.ensembles),
        "packed": sorted(packed),
        "costs": sorted(flow.costs.files),
    }


def test_every_preset_is_listed():
    files = ["params.yaml", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "presets").glob("*.yaml"))]
    assert list(NAMES) == files


@pytest.mark.parametrize("path", NAMES)
def test_a_configuration_leads_to_the_names_that_it_always_led_to(path):
    assert names(path) == NAMES[path]
