"""The console command `ilsvrc`: describe architectures, use trained networks, check recipes, keep results in order.

Each verb imports its room when it runs, so that `ilsvrc --help` never imports torch. The stages of the pipeline are no
verbs: Snakemake runs them as `python -m ilsvrc.stages.<name>`.

Exit codes: 0 done; 1 an error that the user can mend, told in one message; 2 wrong usage; 75 stopped, run it again.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

STOPPED = 75  # EX_TEMPFAIL of sysexits.h, as a stopped training
THREADS = len(os.sched_getaffinity(0))
EPILOG = """\b
Shell completion, for this shell or in its start file:
  bash  eval "$(_ILSVRC_COMPLETE=bash_source ilsvrc)"
  zsh   eval "$(_ILSVRC_COMPLETE=zsh_source ilsvrc)"
  fish  _ILSVRC_COMPLETE=fish_source ilsvrc | source

The pipeline itself is run by `snakemake --cores all`."""

Command = Callable[..., Any]


class Commands(click.Group):
    """A group whose commands end a ValueError or an OSError as one message, and an interruption as exit code 75."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that `ctx` names.

        Raises:
            click.ClickException: the command raised ValueError or OSError.
        """
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("stopped; run the same command again", err=True)
            ctx.exit(STOPPED)


def _architectures(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of an architecture's name."""
    from ilsvrc.config import registry

    return [CompletionItem(name) for name in registry.names("models") if name.startswith(incomplete)]


def _protocols(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of a test protocol's name."""
    from ilsvrc.config import registry

    return [CompletionItem(name) for name in registry.names("protocols") if name.startswith(incomplete)]


def _runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of a run's name: a piece of it between slashes, or the whole."""
    from ilsvrc.artifacts import run_files

    runs = run_files.folders(run_files.RUNS)
    pieces = {piece for run in runs for piece in (run, *run.split("/")[1:])}
    return [CompletionItem(piece) for piece in sorted(pieces) if piece.startswith(incomplete)]


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
        click.option("--loader", type=click.Choice(["ffcv", "pillow"]), default="ffcv", help="The dataloader."),
        click.option("--gpus", type=click.IntRange(0, 1), help="GPUs to use.  [default: 1 where there is one]"),
        click.option("--threads", type=click.IntRange(1), default=THREADS, show_default=True, help="CPU threads."),
    ):
        command = option(command)
    return command


def _gpus(gpus: int | None) -> int:
    """GPUs to use: those that were named, else one where the machine has one."""
    from ilsvrc.runtime import hardware

    return min(1, hardware.num_gpus()) if gpus is None else gpus


def _print_json(content: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _print(lines: Iterable[str]) -> None:
    """Lines on standard output, each as soon as it is known."""
    for line in lines:
        click.echo(line)


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ilsvrc", message="%(prog)s %(version)s")
def main() -> None:
    """The landmark image classifiers: describe them, use trained ones, check recipes, keep results in order."""


@main.command(short_help="Parameters, multiply-adds and layers of architectures.")
@click.argument("names", nargs=-1, metavar="[ARCHITECTURE]...", shell_complete=_architectures)
@click.option("--list", "names_alone", is_flag=True, help="Print the names alone.")
@click.option("--layers", is_flag=True, help="Print a table of each architecture's layers.")
@click.option("--markdown", is_flag=True, help="Print the table in Markdown, with sources and deviations.")
@json_option
def describe(names: tuple[str, ...], names_alone: bool, layers: bool, markdown: bool, in_json: bool) -> None:
    """Describe architectures: parameters and multiply-adds, ours and published; all where none is named.

    \b
    Examples:
      ilsvrc describe
      ilsvrc describe resnet50 googlenet
      ilsvrc describe resnet50 --layers
      ilsvrc describe vgg_d --json
    """
    from ilsvrc.reporting import describe_models

    if sum((names_alone, layers, markdown)) > 1:
        raise click.UsageError("--list, --layers and --markdown exclude each other")
    job = describe_models.DescribeJob(names)
    if names_alone:
        found = describe_models.names(job)
        return _print_json(found) if in_json else _print(found)
    if layers:
        tables = describe_models.describe_layers(job)
        if in_json:
            return _print_json([describe_models.layers_as_json(table) for table in tables])
        return _print(map(describe_models.layers_as_text, tables))
    described = describe_models.describe(job)
    if in_json:
        return _print_json([describe_models.as_json(each) for each in described])
    return _print(describe_models.as_markdown(described) if markdown else describe_models.as_text(described))


@main.command(short_help="Sanity checks of recipes, before a training.")
@click.argument("architectures", nargs=-1, metavar="[ARCHITECTURE]...", shell_complete=_architectures)
@params_option
@machine_options
@click.option("--seconds", type=float, default=30.0, show_default=True, help="Time for each architecture.")
@json_option
def check(
    architectures: tuple[str, ...],
    params: Path,
    threads: int,
    gpus: int | None,
    loader: str,
    seconds: float,
    in_json: bool,
) -> None:
    """Check that the recipes of params.yaml can start: first loss, activations, gradients, first update, one batch.

    Needs the packed images (`snakemake --cores all data`); writes nothing. A network starts as its first run would, in
    float32, without augmentation, and must overfit a batch of eight images. Exits with 1 where a recipe is to change.

    \b
    Examples:
      ilsvrc check
      ilsvrc check resnet18 --seconds 60
    """
    from ilsvrc.config import params as configuration
    from ilsvrc.pipeline import first_runs, wiring
    from ilsvrc.runtime import restart
    from ilsvrc.training import launch

    restart.restart_with(launch.ENVIRONMENT)
    flow = wiring.Pipeline(configuration.load(params))
    packed, runs = first_runs.packed_train(flow), first_runs.first_runs(flow, list(architectures))

    from ilsvrc.training.preflight import check_recipe  # imports torch, which takes seconds

    job = check_recipe.CheckRecipeJob(packed, tuple(runs), seconds, threads, _gpus(gpus), loader)
    found = []
    for finding in check_recipe.check_recipes(job):
        found.append(finding)
        if not in_json:
            click.echo(check_recipe.as_text(finding))
    if in_json:
        _print_json(check_recipe.as_json(found))
    check_recipe.require_fit(found)


@main.command(short_help="The part that limits a training on this machine.")
@click.argument("architectures", nargs=-1, metavar="[ARCHITECTURE]...", shell_complete=_architectures)
@params_option
@machine_options
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "float64"]),
    default="auto",
    show_default=True,
    help="Precision of the training.",
)
@json_option
def bottleneck(
    architectures: tuple[str, ...],
    params: Path,
    threads: int,
    gpus: int | None,
    loader: str,
    precision: str,
    in_json: bool,
) -> None:
    """Find the bottleneck of a training on this machine: disk, decoding, dataloader or network, in a minute.

    Needs the packed images (`snakemake --cores all data`); writes nothing.

    \b
    Examples:
      ilsvrc bottleneck
      ilsvrc bottleneck resnet50 --threads 8 --json
    """
    from ilsvrc.config import params as configuration
    from ilsvrc.pipeline import first_runs, wiring
    from ilsvrc.profiling import bottleneck
    from ilsvrc.profiling.throughput import Machine
    from ilsvrc.runtime import restart
    from ilsvrc.training import launch

    restart.restart_with(launch.ENVIRONMENT)
    flow = wiring.Pipeline(configuration.load(params))
    beton, specs = first_runs.packed_train(flow), first_runs.first_runs(flow, list(architectures))
    job = bottleneck.BottleneckJob(beton, tuple(specs), Machine(threads, _gpus(gpus), loader), precision)
    found = bottleneck.measure(job, follow=(lambda line: None) if in_json else click.echo)
    if in_json:
        _print_json(bottleneck.as_json(found))


@main.command(short_help="Results that params.yaml no longer names.")
@params_option
@click.option("--remove", is_flag=True, help="Remove what is listed.")
@json_option
def prune(params: Path, remove: bool, in_json: bool) -> None:
    """List the runs, predictions, packed images and checkpoints that params.yaml no longer names.

    \b
    Examples:
      ilsvrc prune
      ilsvrc prune --remove
    """
    from ilsvrc.pipeline import prune

    found = prune.prune(prune.PruneJob(params, remove))
    return _print_json(prune.as_json(found)) if in_json else click.echo(prune.as_text(found))


@main.command(short_help="Check results against params.yaml.")
@params_option
@json_option
def verify(params: Path, in_json: bool) -> None:
    """Check that each file is the one that params.yaml asks for; remove the others, so that they are made again.

    `make pull` runs it after `dvc pull`: times do not travel with git or DVC, contents do.

    \b
    Example:
      ilsvrc verify
    """
    from ilsvrc.pipeline import verify

    found = verify.verify(verify.VerifyJob(params))
    return _print_json(verify.as_json(found)) if in_json else click.echo(verify.as_text(found))


@main.command(short_help="Scores and report of the runs that are complete.")
@params_option
@json_option
def report(params: Path, in_json: bool) -> None:
    """Write scores and report of the runs that are complete, while others train.

    \b
    Example:
      ilsvrc report
    """
    from ilsvrc.pipeline import partial_report

    found = partial_report.write(partial_report.PartialReportJob(params))
    return _print_json(partial_report.as_json(found)) if in_json else click.echo(partial_report.as_text(found))


if __name__ == "__main__":
    main(prog_name="ilsvrc")
