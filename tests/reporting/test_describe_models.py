"""Descriptions of architectures, as `ilsvrc describe` prints them."""

import json
import subprocess
import sys

import pytest
from commands import run_verb

from ilsvrc.config import registry
from ilsvrc.reporting import describe_models
from ilsvrc.reporting.describe_models import DescribeJob


def printed(capsys, *options):
    run_verb("describe", *options)
    return capsys.readouterr().out


def test_json_holds_an_object_an_architecture(capsys):
    [found] = json.loads(printed(capsys, "googlenet", "--json"))
    published = found.pop("results")
    assert (found.pop("published_parameters"), found.pop("published_multiply_adds")) == ("6.8M", "1.502G")
    assert "Table 1" in found.pop("source") + found.pop("deviation")
    assert found == {
        "name": "googlenet",
        "paper": "Szegedy et al. 2014",
        "year": 2014,
        "input_px": 224,
        "parameters": 6_998_552,
        "parameters_with_auxiliary_heads": 13_378_280,
        "multiply_adds": 1_582_671_872,
        "activations": 3_227_160,
    }
    assert published[0]["protocol"] == "single_crop"
    assert published[0]["top5_error_percent"] == 10.07


def test_no_name_describes_every_network(capsys, monkeypatch):
    monkeypatch.setattr(registry, "names", lambda kind: ("alexnet", "resnet18"))  # of which there are many
    assert [found["name"] for found in json.loads(printed(capsys, "--json"))] == ["alexnet", "resnet18"]


def test_one_table_holds_counts_beside_the_published(capsys):
    lines = printed(capsys, "resnet18", "googlenet", "--markdown").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[2][:5] == ["resnet18", "He et al. 2015", "224", "11,515,688", "1,794,805,760"]
    assert cells[2][5:7] == ["", "1.8G"]
    assert {len(row) for row in cells} == {9}


def test_a_line_of_the_table_for_a_terminal_stands_under_its_heads():
    head, line = describe_models.as_text(describe_models.describe(DescribeJob(("resnet18",))))
    assert line.split() == ["resnet18", "He", "et", "al.", "2015", "224", "11,515,688", "1,794,805,760", "1.8G"]
    assert line.index("He et al.") == head.index("paper")


def test_names_are_listed_without_torch():
    script = (
        "import sys; from ilsvrc.reporting.describe_models import DescribeJob, names; "
        "assert 'resnet18' in names(DescribeJob()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_layers_are_a_table_with_totals(capsys):
    lines = printed(capsys, "alexnet", "--layers").rstrip().splitlines()
    assert lines[0] == "alexnet, one image of 227 x 227 px, at test"
    assert lines[1].split() == ["layer", "kind", "output", "parameters", "multiply-adds", "activations"]
    assert lines[2].split() == ["conv1", "Conv2d", "96", "x", "55", "x", "55", "34,944", "105,415,200", "290,400"]
    assert lines[-1].split() == ["total", "60,965,224", "724,406,816", "659,272"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_the_table_tells_of_auxiliary_heads(capsys):
    assert "6,379,728 parameters of auxiliary heads" in printed(capsys, "googlenet", "--layers")


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="no architecture is called 'alexnett'; nearest: alexnet"):
        run_verb("describe", "alexnett")
