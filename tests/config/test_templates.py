"""The templates of docs/templates, each in its folder of a copy of the package."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ilsvrc.config import registry

TEMPLATES = Path(__file__).parents[2] / "docs" / "templates"
PLACES = {
    "my_network.py": "models", "my_recipe.yaml": "recipes", "my_protocol.py": "protocols", "my_images.py": "datasets",
}  # fmt: skip
ROW = "my_network,Author 2026,Table 1,2026,5418,5418,1622336,,,the paper gives neither,\n"
BOOK = """
dataset: my_images
architectures: [my_network]
recipe: paper
protocols: [my_protocol]
"""
NETWORK_AND_RECIPE = """
from ilsvrc.config import registry
from ilsvrc.models.common import flops, reference_counts
row = reference_counts.architectures()["my_network"]
counted = flops.count(registry.architecture("my_network")(), registry.input_px("my_network"))
assert [counted.parameters, counted.multiply_adds] == [int(row["parameters"]), int(row["multiply_adds"])], counted
import torch
from ilsvrc.config import params, runs
from ilsvrc.training import build
(run,) = runs.expand(params.load())
network = build.build(run.spec, num_classes=2)
network.initialize_as_paper()
loss = torch.nn.functional.cross_entropy(network(torch.rand(4, 3, 32, 32)), torch.tensor([0, 1, 0, 1]))
loss.backward()
assert all(weight.grad.isfinite().all() for weight in network.parameters())
"""
PACKED = """
import io
from pathlib import Path
from PIL import Image
from ilsvrc.config import registry
module = registry.load("datasets", "my_images")
raw = Path("raw")
raw.mkdir()
module.acquire(raw, {})
found = list(module.samples(raw, {}))
archive = (raw / module.ARCHIVE).read_bytes()
image = Image.open(io.BytesIO(archive[found[0].offset:][:found[0].size]))
assert (len(found), image.size, image.getpixel((0, 0))) == (100, (32, 32), (255, 255, 255)), found[0]
assert {split: sum(s.split == split for s in found) for split in ("train", "val")} == module.CARD.counts
"""
TESTED = """
from ilsvrc.config import registry
from ilsvrc.evaluation.predictor import plan, protocol_views
views = protocol_views(registry.load("protocols", "my_protocol"), 224)
assert [view.anchor for view in views][-1] == (1, 1)
assert len(plan({"my_protocol": views}).passes) == 5
"""
WIRED = """
from ilsvrc.config import schema
from ilsvrc.pipeline import wiring
flow = wiring.read(schema.read_yaml("params.yaml"), where="params.yaml")
assert [run.split("/")[:3] for run in flow.runs] == [["my_images", "my_network", "paper"]], list(flow.runs)
assert flow.archives == ["data/raw/my_images/my_images.tar"]
"""
CHECKS = {
    "network_and_recipe": NETWORK_AND_RECIPE, "data_set": PACKED, "test_protocol": TESTED, "wiring": WIRED,
}  # fmt: skip


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package that holds the templates, and a params.yaml that asks for them."""
    root = tmp_path_factory.mktemp("templates")
    shutil.copytree(registry.PACKAGE, root / "ilsvrc", ignore=shutil.ignore_patterns("__pycache__"))
    for name, kind in PLACES.items():
        shutil.copy(TEMPLATES / name, root / "ilsvrc" / registry.FOLDERS[kind])
    with (root / "ilsvrc/models/common/reference_counts.csv").open("a") as file:
        file.write(ROW)
    (root / "params.yaml").write_text(BOOK)
    return root


@pytest.mark.parametrize("code", CHECKS.values(), ids=CHECKS)
def test_a_template_is_a_plug_in_that_runs(package: Path, code: str) -> None:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(package)!r})\n{code}"]
    done = subprocess.run(command, cwd=package, env={"PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_template_has_a_place() -> None:
    assert {path.name for path in TEMPLATES.iterdir() if path.is_file()} == {*PLACES, "README.md"}
