"""Options that verbs share, and how verbs print."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from ilsvrc.runtime import hardware

Command = Callable[..., Any]


def params_option(command: Command) -> Command:
    """The option `--params`, the same for every verb."""
    path = click.Path(path_type=Path, dir_okay=False)
    text = "The configuration of the experiment."
    return click.option("--params", type=path, default=Path("params.yaml"), show_default=True, help=text)(command)


def json_option(command: Command) -> Command:
    """The option `--json`, the same for every verb that prints a table."""
    return click.option("--json", "in_json", is_flag=True, help="Print JSON.")(command)


def machine_options(command: Command) -> Command:
    """The options of verbs that start a training: threads, GPUs and the dataloader."""
    for option in (
        click.option("--loader", type=click.Choice(["auto", "ffcv", "pillow"]), default="auto", help="The dataloader."),
        click.option("--gpus", type=click.IntRange(0, 1), help="GPUs to use.  [default: 1 where there is one]"),
        click.option(
            "--threads", type=click.IntRange(1), default=hardware.num_cores, show_default="all", help="CPU threads."
        ),
    ):
        command = option(command)
    return command


def gpus_to_use(gpus: int | None) -> int:
    """GPUs to use: those that were named, else one where the machine has one."""
    return min(1, hardware.num_gpus()) if gpus is None else gpus


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def print_lines(lines: Iterable[str]) -> None:
    """Lines on standard output, each as soon as it is known."""
    for line in lines:
        click.echo(line)
