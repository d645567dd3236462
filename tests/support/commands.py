"""Verbs of the console command, run in this process."""

from unittest import mock

import click

from ilsvrc import cli


def run_verb(*words: str) -> None:
    """Runs `ilsvrc` with `words`; a user's error is raised as it was, and the process is not started again."""
    try:
        with mock.patch("ilsvrc.runtime.restart.restart_with"):
            cli.main(list(words), prog_name="ilsvrc", standalone_mode=False)
    except click.ClickException as error:
        raise error.__cause__ or error from None
