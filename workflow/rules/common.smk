import os
import re
import sys
from pathlib import Path

from ilsvrc.config import runs, specs
from ilsvrc.pipeline import wiring
from ilsvrc.runtime import hardware

if workflow.overwrite_configfiles:
    BOOK = " and ".join(os.path.relpath(path) for path in workflow.overwrite_configfiles)
else:
    BOOK = "params.yaml"
try:
    PIPELINE = wiring.read(config, where=BOOK)
except ValueError as error:
    raise WorkflowError(str(error)) from None
wiring.find_own_programs()

# Plain `snakemake --cores all` must not start more jobs than there are GPUs; a profile's or --resources' limit wins.
GPUS = hardware.num_gpus()
workflow.global_resources.setdefault("gpu", GPUS)
CORES = workflow.global_resources["_cores"].value or 1  # --report and --lint name none


wildcard_constraints:
    run=r"[^/]+/[^/]+/[^/]+/seed=\d+-[0-9a-f]{8}",
    split="train|val",
    form="|".join(map(re.escape, PIPELINE.pack_specs)),


def is_real_run():
    """A run that writes: the main process, not a dry run."""
    return workflow.is_main_process and not workflow.dryrun


def refuse_too_many_gpus():
    """Snakemake would cut such a request in silence, and train on fewer."""
    limit = workflow.global_resources["gpu"].value
    for rule_name, resources in workflow.resource_settings.overwrite_resources.items():
        asked = resources["gpu"].value if "gpu" in resources else 0
        if workflow.local_exec and asked > limit:
            raise WorkflowError(f"{rule_name}:gpu={asked} is asked for, but the limit here is {limit}; lower it")


def training_threads():
    """Cores of one training: runs that go side by side share them."""
    side_by_side = max(1, min(GPUS or CORES, len(PIPELINE.trained)))
    return max(1, CORES // side_by_side)


def not_recorded():
    """Why DVC cannot record this run, or nothing: it reads params.yaml, not the command line."""
    changed = workflow.overwrite_configfiles or workflow.config_settings.config
    return "the configuration came from the command line, not from params.yaml" if changed else ""


def print_results():
    """Where to look, as the last lines of a run."""
    if Path("results/report.html").exists():
        print(f"\nReport: {Path('results/report.html').absolute()}", file=sys.stderr)
        print("Runs:   mlflow ui", file=sys.stderr)


refuse_too_many_gpus()
