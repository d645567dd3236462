"""The console command `ilsvrc`: describe architectures, use trained networks, check recipes, keep results in order.

Each verb imports its room when it runs, so that `ilsvrc --help` never imports torch. The stages of the pipeline are no
verbs: Snakemake runs them as `python -m ilsvrc.stages.<name>`.

Exit codes: 0 done; 1 an error that the user can mend, told in one message; 2 wrong usage; 75 stopped, run it again.
"""

from typing import Any

import click

from ilsvrc.cli import architectures, results

STOPPED = 75  # EX_TEMPFAIL of sysexits.h, as a stopped training
EPILOG = """\b
Shell completion, for this shell or in its start file:
  bash  eval "$(_ILSVRC_COMPLETE=bash_source ilsvrc)"
  zsh   eval "$(_ILSVRC_COMPLETE=zsh_source ilsvrc)"
  fish  _ILSVRC_COMPLETE=fish_source ilsvrc | source

The pipeline itself is run by `snakemake --cores all`."""


class Commands(click.Group):
    """A group whose commands end a ValueError or an OSError as one message, and an interruption as exit code 75."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that `ctx` names.

        Raises:
            click.ClickException: the command raised ValueError or OSError.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # of `ilsvrc describe | head`, which click passes over in silence
            raise
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("stopped; run the same command again", err=True)
            ctx.exit(STOPPED)


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ilsvrc", message="%(prog)s %(version)s")
def main() -> None:
    """The landmark image classifiers: describe them, use trained ones, check recipes, keep results in order."""


for verb in (
    architectures.describe, architectures.check, architectures.bottleneck,
    results.classify, results.export, results.plan, results.report, results.verify, results.prune, results.remeasure,
):  # fmt: skip
    main.add_command(verb)
