"""The console command `ilsvrc`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from ilsvrc import cli

VERBS = sorted(cli.main.commands)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, words, prog_name="ilsvrc")


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example(verb):
    found = run(verb, "--help")
    assert found.exit_code == 0
    assert f"  ilsvrc {verb}" in found.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_wrong_usage_ends_with_2(verb):
    assert run(verb, "--no-such-option").exit_code == 2


def test_help_and_version_come_without_torch():
    code = "import sys; from ilsvrc.cli import main; main(['-h'], standalone_mode=False); exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
    assert run("--version").stdout.startswith("ilsvrc 0.")


def test_a_reader_that_has_enough_causes_no_message():
    command = f"{sys.executable} -m ilsvrc.cli describe --list | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("alexnet\n", "")


def test_describe_prints_a_table():
    head, row = run("describe", "alexnet").stdout.splitlines()
    assert head.split()[:2] == ["name", "paper"]
    assert row.startswith("alexnet")
    assert "60,965,224" in row


def test_describe_prints_json():
    (found,) = json.loads(run("describe", "alexnet", "--json").stdout)
    assert (found["name"], found["parameters"]) == ("alexnet", 60_965_224)


def test_describe_lists_names():
    assert "vgg_d" in run("describe", "--list").stdout.splitlines()


def test_a_users_error_is_one_message_and_1():
    found = run("describe", "alxnet")
    assert found.exit_code == 1
    assert found.stderr.startswith("Error: ")
    assert "nearest: alexnet" in found.stderr
    assert "Traceback" not in found.stderr


def test_an_interruption_ends_with_75(monkeypatch):
    def interrupt(job):
        raise KeyboardInterrupt

    monkeypatch.setattr("ilsvrc.pipeline.prune.prune", interrupt)
    assert run("prune").exit_code == 75


def test_prune_lists_what_params_yaml_does_not_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    book = {"dataset": "digits", "architectures": ["resnet18"], "recipe": "quick", "protocols": ["single_crop"]}
    Path("other.yaml").write_text(yaml.safe_dump(book))
    assert "nothing to prune" in run("prune", "--params", "other.yaml").stdout
    left = Path("results/runs/digits/alexnet/quick/seed=0-01234567/weights.json")
    left.parent.mkdir(parents=True)
    left.write_text("{}")
    assert str(left.parent) in run("prune", "--params", "other.yaml").output
    assert str(left.parent) in run("prune", "--params", "other.yaml", "--json").stdout
    assert run("prune", "--params", "other.yaml", "--remove").exit_code == 0
    assert not left.exists()


@pytest.mark.parametrize(("line", "expected"), [("ilsvrc describe googl", "googlenet"), ("ilsvrc pru", "prune")])
def test_names_are_completed_in_bash(line, expected):
    words = line.split()
    variables = {"_ILSVRC_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    found = CliRunner(env=variables).invoke(cli.main, [], prog_name="ilsvrc")
    assert expected in found.output
