"""Names and the files behind them."""

import subprocess
import sys

import pytest

from ilsvrc import plugins

BUILDER = '''"""A family."""
import torch


def tinynet(num_classes=1000, input_px=64):
    """A network."""
    return "built"


def _helper():
    """Not a network."""
'''


@pytest.fixture
def empty_package(tmp_path, monkeypatch):
    """A package folder with empty plug-in folders in place of ours."""
    for kind in ("models", "data", "protocols", "recipes"):
        (tmp_path / kind).mkdir()
    monkeypatch.setattr(plugins, "PACKAGE", tmp_path)
    for cached in (plugins.names, plugins._builders):
        cached.cache_clear()
    yield tmp_path
    for cached in (plugins.names, plugins._builders):
        cached.cache_clear()


def test_the_networks_there_are():
    assert {"alexnet", "googlenet", "resnet18", "resnet18_b", "vgg_a"} <= set(plugins.names("models"))


@pytest.mark.parametrize("kind", ["models", "data", "protocols", "recipes"])
def test_an_unknown_name_is_answered_with_those_there_are(kind):
    with pytest.raises(ValueError, match=f"{kind} has no 'nothing'; there are: {', '.join(plugins.names(kind))}$"):
        plugins.check(kind, "nothing")


def test_a_known_name_is_returned():
    assert plugins.check("models", "alexnet") == "alexnet"


def test_a_builder_is_a_public_function_of_a_file_in_models():
    assert plugins.architecture("vgg_a").__module__ == "ilsvrc.models.vgg"


def test_a_new_builder_is_a_new_name(empty_package):
    (empty_package / "models" / "tiny.py").write_text(BUILDER)
    (empty_package / "models" / "_shared.py").write_text(BUILDER.replace("tinynet", "hidden"))
    assert plugins.names("models") == ("tinynet",)


@pytest.mark.parametrize(("kind", "file"), [("data", "mine.py"), ("protocols", "mine.py"), ("recipes", "mine.yaml")])
def test_a_new_file_is_a_new_name(empty_package, kind, file):
    (empty_package / kind / file).touch()
    (empty_package / kind / f"_{file}").touch()
    assert plugins.names(kind) == ("mine",)


def test_names_are_found_without_importing_torch():
    code = (
        "import sys; from ilsvrc import plugins; plugins.check('models', 'alexnet'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
