"""Rules are short, have fixed names, and pass every option that their stages take."""

import re
from pathlib import Path

import pytest

from ilsvrc.pipeline import commands

RULES = sorted((Path(__file__).parents[2] / "workflow" / "rules").glob("*.smk"))
MAX_LINES = 25


def rules() -> list[tuple[str, str]]:
    """Name and text of each rule."""
    found = []
    for path in RULES:
        found += re.findall(r"^rule (\w*):\n((?:    .*\n|\n(?=    ))*)", path.read_text(), re.MULTILINE)
    return found


@pytest.mark.parametrize(("name", "text"), rules(), ids=[name for name, _ in rules()])
def test_a_rule_is_short_and_named(name, text):
    assert name
    assert 1 + text.count("\n") <= MAX_LINES


def test_no_rule_reaches_into_the_graph_of_jobs():
    assert not [path.name for path in RULES if "workflow.dag" in path.read_text()]


def test_every_command_is_a_rules():
    assert set(commands.OPTIONS) == {name for name, text in rules() if "shell:" in text}


@pytest.mark.parametrize("stage", ["acquire", "pack", "record", "report", "score", "cost_table"])
def test_an_option_of_a_command_is_one_of_its_stage(stage):
    text = (RULES[0].parents[2] / "src/ilsvrc/stages" / f"{stage}.py").read_text()
    for option in re.findall(r"(--[a-z-]+)", commands.command(stage)):
        assert option == "--log" or f'"{option}"' in text, option


def test_options_are_named_after_the_rules_files_and_parameters():
    words = commands.command("pack").split()
    assert words[:4] == ["exec", "python", "-m", "ilsvrc.stages.pack"]
    assert words[-4:] == ["--workers", "{threads:q}", "--log", "{log:q}"]
    assert "--mean-image {output.mean_image:q}" in commands.command("pack")
    assert "--skip={params.skip:q}" in commands.command("record")
