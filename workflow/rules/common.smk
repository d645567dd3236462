import os
import re
import sys
import time
from functools import cache
from pathlib import Path

from ilsvrc.config import specs
from ilsvrc.pipeline import file_times, lost_files, refused_predictions, wiring
from ilsvrc.pipeline.commands import command
from ilsvrc.runtime import disk, hardware, parent_death, unrecorded
from ilsvrc.tracking import mlflow_runs, mlflow_store

if workflow.overwrite_configfiles:
    BOOK = " and ".join(os.path.relpath(path) for path in workflow.overwrite_configfiles)
else:
    BOOK = "params.yaml"
try:
    PIPELINE = wiring.read(config, where=BOOK, read_from=workflow.configfiles)
    PIPELINE.check_pictures()
except ValueError as error:
    raise WorkflowError(str(error)) from None
wiring.find_own_programs()
parent_death.be_the_parent()
if workflow.is_main_process:
    disk.warn_of_full_temporary_folder()

# Plain `snakemake --cores all` must not start more jobs than there are GPUs; a profile's or --resources' limit wins.
GPUS = hardware.num_gpus()
workflow.global_resources.setdefault("gpu", GPUS)
CORES = workflow.global_resources["_cores"].value or 1  # --report and --lint name none

# The machine's options, which change no file's content: a profile sets them, or --set-resources train:precision=float32.
MACHINE = {
    "gpu": min(1, GPUS),  # 0: on the CPU
    "processes": 0,  # 0: one for each GPU
    "precision": "auto",
    "loader": "auto",  # FFCV where it is installed, else Pillow: the same pixels
    "accumulate": 1,  # micro-batches of a step
    "compile": "auto",
}

RUN_FILES = {
    "weights": "results/runs/{run}/weights.safetensors",
    "weights_info": "results/runs/{run}/weights.json",
    "history": "results/runs/{run}/history.csv",
    "run_info": "results/runs/{run}/run.json",
}


wildcard_constraints:
    run=r"[^/]+/[^/]+/[^/]+/seed=\d+-[0-9a-f]{8}",
    split="train|val",
    form="|".join(map(re.escape, PIPELINE.pack_specs)),


def print_remarks():
    """Prints what runs do otherwise than their recipes, once and not by each job."""
    for line in PIPELINE.remarks if workflow.is_main_process else ():
        print(line, file=sys.stderr)


def machine(*names):
    """Some of the machine's options, as resources of a rule."""
    return {name: MACHINE[name] for name in names}


def refuse_too_many_gpus():
    """Snakemake would cut such a request in silence, and train on fewer."""
    limit = workflow.global_resources["gpu"].value
    for rule_name, resources in workflow.resource_settings.overwrite_resources.items():
        asked = resources["gpu"].value if "gpu" in resources else 0
        if workflow.local_exec and asked > limit:
            raise WorkflowError(f"{rule_name}:gpu={asked} is asked for, but the limit here is {limit}; lower it")


def runs_jobs():
    """True where jobs run: not for a dry run, --touch, --summary and the like. Known once jobs are planned, not before."""
    planned = workflow.is_main_process and workflow.executor_plugin is not None
    return planned and not workflow.dryrun and not workflow.touch


@cache
def refused():
    """Predictions that scores would refuse, each named in a line. Where jobs run, they are removed, and none is left."""
    found = refused_predictions.find(PIPELINE) if workflow.is_main_process else {}
    for path, why in found.items():
        print(f"{path} {why}: it is made again", file=sys.stderr)
    if not found or not runs_jobs():
        return list(found)
    wiring.hold_the_lock()  # a run that is refused removes nothing
    for path in found:
        Path(path).unlink(missing_ok=True)
    return []


@cache
def settle_times():
    """Says which files have times ahead of the clock, after it was set back; where jobs run, they get the time of now."""
    if not workflow.is_main_process or workflow.touch:
        return
    folders, now_ns = file_times.folders(PIPELINE), time.time_ns()
    found = file_times.ahead(folders, now_ns)
    if found:
        print(file_times.said(found, now_ns), file=sys.stderr)
    if found and runs_jobs():
        wiring.hold_the_lock()
        try:
            file_times.settle(found, now_ns)
        except ValueError as error:
            raise WorkflowError(str(error)) from None


@cache
def bring_back():
    """Brings back results that `dvc exp run` removed before DVC had recorded them, and says so."""
    if not workflow.is_main_process or workflow.touch or not runs_jobs():
        return
    wiring.hold_the_lock()
    for folder, number in unrecorded.settle().items():
        print(f"{folder}: {number} files that DVC removed before they were recorded are back", file=sys.stderr)


@cache
def log_again():
    """Lets scores be written again where MLflow was away: what it does not know is logged then."""
    if runs_jobs() and mlflow_runs.MISSED.exists() and mlflow_store.answers():
        wiring.hold_the_lock()
        mlflow_runs.MISSED.unlink()
        Path("results/scores.csv").unlink(missing_ok=True)


@cache
def lost():
    """Files that a loss of power left empty or zeroed, each named in a line. Where jobs run, none is left."""
    bring_back()
    log_again()
    settle_times()
    found = lost_files.find(PIPELINE) if workflow.is_main_process and not workflow.touch else {}
    for line in lost_files.said(found):
        print(line, file=sys.stderr)
    if not found or not runs_jobs():
        return lost_files.to_be_made(found)
    wiring.hold_the_lock()
    lost_files.repair(found)
    return []


def training_threads():
    """Cores of one training: runs that go side by side share them."""
    side_by_side = max(1, min(GPUS or CORES, len(PIPELINE.trained)))
    return max(1, CORES // side_by_side)


def not_recorded():
    """Reason why DVC cannot record this run, empty where it can: it reads params.yaml, not the command line."""
    if not Path("dvc.yaml").exists():
        return "there is no dvc.yaml in this folder"
    changed = workflow.overwrite_configfiles or workflow.config_settings.config
    return "the configuration came from the command line, not from params.yaml" if changed else ""


def print_results():
    """Prints where the report and the runs are, as the last lines of a run."""
    if Path("results/report.html").exists():
        print(f"\nReport: {Path('results/report.html').absolute()}", file=sys.stderr)
        print("Runs:   mlflow ui", file=sys.stderr)


if not_recorded():
    os.environ[unrecorded.OTHER_CONFIGURATION] = "1"
refuse_too_many_gpus()
print_remarks()
