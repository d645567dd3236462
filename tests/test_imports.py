"""Imports go one way: who may know whom."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "ilsvrc"
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
HEAVY = {"torch", "torchvision", "timm", "ffcv", "mlflow", "numba", "sklearn", "pandas", "matplotlib", "numpy"}
PARSED_BY_A_DRY_RUN = ("config/", "pipeline/wiring.py", "evaluation/prediction_file.py", "runtime/hardware.py")


def imported(file: str, inside_functions: bool = True) -> set[str]:
    """Modules that a file imports, such as `torch` and `ilsvrc.models.common.layers`."""
    tree = ast.parse((PACKAGE / file).read_text())
    nodes = ast.walk(tree) if inside_functions else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "ilsvrc":
            found |= {f"ilsvrc.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def roots(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.startswith((*PARSED_BY_A_DRY_RUN, "datasets/", "evaluation/protocols/"))]
)
def test_what_a_dry_run_parses_imports_nothing_heavy(file):
    assert not roots(imported(file, inside_functions=False)) & HEAVY


@pytest.mark.parametrize("file", FILES)
def test_ffcv_mlflow_and_stages_have_one_home(file):
    modules = imported(file)
    assert "ffcv" not in roots(modules) or file.startswith("loading/")
    assert "mlflow" not in roots(modules) or file.startswith("tracking/")
    assert not any(m.startswith("ilsvrc.stages") for m in modules) or file.startswith("stages/")


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.startswith(("training/", "loading/", "reporting/", "tracking/"))]
)
def test_what_receives_objects_looks_nothing_up(file):
    assert "ilsvrc.config.registry" not in imported(file)


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith("models/")])
def test_architectures_know_torch_and_layers_only(file):
    own = {m for m in imported(file) if m.startswith("ilsvrc")}
    assert own <= {"ilsvrc.models.common.layers"} or all(
        m.startswith(("ilsvrc.models.common.layers", "ilsvrc.models")) for m in own
    )
    assert not roots(imported(file)) & (HEAVY - {"torch", "torchvision", "timm"})


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith("evaluation/protocols/")])
def test_protocols_know_views_and_each_other_only(file):
    own = {m for m in imported(file) if m.startswith("ilsvrc")}
    assert all(m == "ilsvrc.loading.views" or m.startswith("ilsvrc.evaluation.protocols") for m in own)
