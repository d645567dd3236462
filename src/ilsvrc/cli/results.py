"""Verbs about trained networks and results: classify, export, report, verify, remeasure, prune."""

import sys
from pathlib import Path

import click

from ilsvrc.cli import completion
from ilsvrc.cli.options import json_option, params_option, print_json


@click.command(short_help="Classes that a trained network sees in images.")
@click.argument("run", shell_complete=completion.runs)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    shell_complete=completion.protocols,
    help="The test protocol; several that are averaged: one+other.  [single_crop]",
)
@params_option
@json_option
def classify(run: str, images: tuple[Path, ...], protocol: str | None, params: Path, in_json: bool) -> None:
    """Classify images by a trained network, or by an ensemble of params.yaml.

    RUN is a run's folder, its name, a part of the name that no other run has, or the name of an ensemble.

    \b
    Examples:
      ilsvrc classify alexnet flower.jpg
      ilsvrc classify resnet18,learning_rate=0.05 *.jpg --protocol ten_crop
      ilsvrc classify googlenet_seven flower.jpg --json
    """
    from ilsvrc.evaluation import classify

    found = classify.classify(classify.ClassifyJob(run, images, protocol, params))
    print_json(classify.as_json(found)) if in_json else click.echo(classify.as_text(found), nl=False)
    if found.broken:
        raise ValueError("\n".join(found.broken))


@click.command(short_help="Predictions as a submission to ILSVRC and as a CSV.")
@click.argument("run", shell_complete=completion.runs)
@click.argument("protocol", shell_complete=completion.protocols)
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="The folder.  [results/exports/<run>]")
@params_option
@json_option
def export(run: str, protocol: str, to: Path | None, params: Path, in_json: bool) -> None:
    """Export the predictions of a run or an ensemble: in ILSVRC's submission form, and as a CSV with five guesses.

    RUN is a run's folder, its name, a part of the name that no other run has, or the name of an ensemble.

    \b
    Examples:
      ilsvrc export resnet18 ten_crop
      ilsvrc export vgg_d_all_crops vgg_dense+vgg_multi_crop --to submission
    """
    from ilsvrc.evaluation import export

    found = export.export(export.ExportJob(run, protocol, to, params))
    return print_json(export.as_json(found)) if in_json else click.echo(export.as_text(found), nl=False)


@click.command(short_help="Scores and report of the runs that are complete.")
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
    return print_json(partial_report.as_json(found)) if in_json else click.echo(partial_report.as_text(found))


@click.command(short_help="Check results against params.yaml.")
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
    return print_json(verify.as_json(found)) if in_json else click.echo(verify.as_text(found))


@click.command(short_help="Costs that were measured on a busy machine, again.")
@click.argument("architectures", nargs=-1, metavar="[ARCHITECTURE]...", shell_complete=completion.architectures)
@params_option
@click.option("-n", "--dry-run", is_flag=True, help="List what would be measured.")
def remeasure(architectures: tuple[str, ...], params: Path, dry_run: bool) -> None:
    """Measure the costs of the named architectures again; without names, those that a busy machine disturbed.

    Runs snakemake for these measurements, their table and the report, with the folder's default profile.

    \b
    Examples:
      ilsvrc remeasure
      ilsvrc remeasure resnet18 --dry-run
    """
    from ilsvrc.pipeline import remeasure

    sys.exit(remeasure.remeasure(remeasure.RemeasureJob(architectures, params, dry_run), follow=click.echo))


@click.command(short_help="State of each run of params.yaml.")
@params_option
@json_option
def plan(params: Path, in_json: bool) -> None:
    """Say of each run of params.yaml whether it is done, resumes, failed or is new, and what is still to be made.

    Nothing runs, and no file is checked beyond that it is there: `ilsvrc verify` compares contents.

    \b
    Examples:
      ilsvrc plan
      ilsvrc plan --params presets/googlenet.yaml
    """
    from ilsvrc.pipeline import plan

    found = plan.plan(plan.PlanJob(params))
    return print_json(plan.as_json(found)) if in_json else click.echo(plan.as_text(found))


@click.command(short_help="Results that params.yaml no longer names.")
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
    return print_json(prune.as_json(found)) if in_json else click.echo(prune.as_text(found))
