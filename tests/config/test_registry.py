"""Names and the files behind them."""

import importlib.util
import inspect
import subprocess
import sys

import pytest

from ilsvrc.config import registry

FAMILY = '''"""Many names."""
from ilsvrc.models.common.layers import named


@named("tiny{depth}_g{groups}", depth=(2, 3), groups=("1", "0_5"))
def tiny(depth, groups, num_classes=10, input_px=32):
    """A network."""
    return depth, groups, num_classes


@named("wide_{depth}_{widening}", depth=range(10, 100, 6), widening=range(1, 20), listed=("wide_16_8",))
def wide(depth, widening, *, num_classes=10, input_px=48):
    """A network."""
'''
BUILDER = '''"""A family."""
import torch


def tinynet(num_classes=1000, input_px=64):
    """A network."""
    return "built"


def _helper(num_classes):
    """Not a network."""


def block(channels):
    """A part of networks."""
'''


@pytest.fixture
def empty_package(tmp_path, monkeypatch):
    """A package folder with empty plug-in folders in place of ours."""
    for folder in registry.FOLDERS.values():
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(registry, "PACKAGE", tmp_path)
    for cached in (registry.names, registry._families, registry._builder):
        cached.cache_clear()
    yield tmp_path
    for cached in (registry.names, registry._families, registry._builder):
        cached.cache_clear()


def test_the_networks_there_are():
    assert {"alexnet", "googlenet", "resnet18", "resnet18_b", "vgg_a"} <= set(registry.names("models"))


@pytest.mark.parametrize("kind", ["datasets", "protocols"])
def test_an_unknown_name_is_answered_with_those_there_are(kind):
    with pytest.raises(
        ValueError,
        match=f"no {registry.NOUNS[kind]} is called 'nothing'; there are: {', '.join(registry.names(kind))}$",
    ):
        registry.check(kind, "nothing")


def test_among_many_names_an_unknown_one_is_answered_with_the_nearest_and_the_folder(empty_package, monkeypatch):
    builders = "\n".join(f"def net{i}(num_classes=10):\n    pass\n" for i in range(20))
    (empty_package / "models" / "nets.py").write_text(builders)
    monkeypatch.chdir(empty_package)
    with pytest.raises(
        ValueError, match=r"no architecture is called 'net123'; nearest: net1\d, .*; .*describe.* in models$"
    ):
        registry.check("models", "net123")


def test_a_known_name_is_returned():
    assert registry.check("models", "alexnet") == "alexnet"


def test_a_builder_is_a_public_function_of_a_file_in_models():
    assert registry.architecture("vgg_a").__module__ == "ilsvrc.models.vgg"


def test_a_new_builder_is_a_new_name(empty_package):
    (empty_package / "models" / "tiny.py").write_text(BUILDER)
    (empty_package / "models" / "_shared.py").write_text(BUILDER.replace("tinynet", "hidden"))
    assert registry.names("models") == ("tinynet",)


def load_as_ours(path, monkeypatch):
    """Imports a file as a module of our models."""
    spec = importlib.util.spec_from_file_location(f"ilsvrc.models.{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, spec.name, module)


def test_a_builder_that_returns_no_classifier_is_refused(empty_package, monkeypatch):
    path = empty_package / "models" / "tiny.py"
    path.write_text(BUILDER)
    load_as_ours(path, monkeypatch)
    with pytest.raises(ValueError, match=r"models/tiny\.py: tinynet returns str, but .* returns a Classifier \(see"):
        registry.architecture("tinynet")()


def test_a_builder_keeps_its_arguments():
    assert "dropout" in inspect.signature(registry.architecture("alexnet")).parameters


def test_a_builder_without_its_papers_size_is_refused(empty_package):
    (empty_package / "models" / "tiny.py").write_text(BUILDER.replace("input_px=64", "*, input_px"))
    with pytest.raises(ValueError, match=r"models/tiny\.py: tinynet has no default of input_px"):
        registry.input_px("tinynet")


@pytest.fixture
def families(empty_package):
    (empty_package / "models" / "tiny.py").write_text(FAMILY)


def test_a_template_is_all_the_names_of_its_values_or_those_that_it_lists(families):
    assert registry.names("models") == ("tiny2_g0_5", "tiny2_g1", "tiny3_g0_5", "tiny3_g1", "wide_16_8")


def test_a_range_takes_names_that_are_not_listed(families):
    assert registry.check("models", "wide_22_3") == "wide_22_3"


@pytest.mark.parametrize("name", ["wide_17_3", "wide_22_20", "wide_22", "tiny4_g1", "tiny", "tiny2_g1_", "wide_16_08"])
def test_a_value_outside_a_templates_is_refused(families, name):
    with pytest.raises(ValueError, match=f"no architecture is called '{name}'"):
        registry.check("models", name)


def test_the_papers_input_is_the_builders_default(families):
    assert [registry.input_px(name) for name in ("tiny2_g1", "wide_16_8", "wide_22_3")] == [32, 48, 48]


def test_a_builder_gets_the_fields_of_its_name():
    build = registry.architecture("alexnet_without_conv4")
    assert build.keywords == {"layer": 4}


KINDS = [("datasets", "mine.py"), ("protocols", "mine.py"), ("recipes", "mine.yaml")]


@pytest.mark.parametrize(("kind", "file"), KINDS)
def test_a_new_file_is_a_new_name(empty_package, kind, file):
    folder = empty_package / registry.FOLDERS[kind]
    (folder / file).touch()
    (folder / f"_{file}").touch()
    assert registry.names(kind) == ("mine",)


def test_names_are_found_without_importing_torch():
    code = (
        "import sys; from ilsvrc.config import registry\n"
        "registry.check('models', 'alexnet'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
