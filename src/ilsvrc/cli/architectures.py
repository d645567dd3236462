"""Verbs about architectures and their recipes: describe, check, bottleneck."""

from pathlib import Path

import click

from ilsvrc.cli import completion
from ilsvrc.cli.options import gpus_to_use, json_option, machine_options, params_option, print_json, print_lines


@click.command(short_help="Parameters, multiply-adds and layers of architectures.")
@click.argument("names", nargs=-1, metavar="[ARCHITECTURE]...", shell_complete=completion.architectures)
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
        return print_json(found) if in_json else print_lines(found)
    if layers:
        tables = describe_models.describe_layers(job)
        if in_json:
            return print_json([describe_models.layers_as_json(table) for table in tables])
        return print_lines(map(describe_models.layers_as_text, tables))
    described = describe_models.describe(job)
    if in_json:
        return print_json([describe_models.as_json(each) for each in described])
    return print_lines(describe_models.as_markdown(described) if markdown else describe_models.as_text(described))


@click.command(short_help="Sanity checks of recipes, before a training.")
@click.argument("architectures", nargs=-1, metavar="[ARCHITECTURE]...", shell_complete=completion.architectures)
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

    job = check_recipe.CheckRecipeJob(packed, tuple(runs), seconds, threads, gpus_to_use(gpus), loader)
    found = []
    for finding in check_recipe.check_recipes(job):
        found.append(finding)
        if not in_json:
            click.echo(check_recipe.as_text(finding))
    if in_json:
        print_json(check_recipe.as_json(found))
    check_recipe.require_fit(found)


@click.command(short_help="The part that limits a training on this machine.")
@click.argument("architectures", nargs=-1, metavar="[ARCHITECTURE]...", shell_complete=completion.architectures)
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
    job = bottleneck.BottleneckJob(beton, tuple(specs), Machine(threads, gpus_to_use(gpus), loader), precision)
    found = bottleneck.measure(job, follow=(lambda line: None) if in_json else click.echo)
    if in_json:
        print_json(bottleneck.as_json(found))
