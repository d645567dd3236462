import os
import re
import sys
from pathlib import Path

from ilsvrc import hardware, pipeline, runs

if workflow.overwrite_configfiles:
    BOOK = " and ".join(os.path.relpath(path) for path in workflow.overwrite_configfiles)
else:
    BOOK = "params.yaml"
try:
    PIPELINE = pipeline.read(config, where=BOOK)
except ValueError as error:
    raise WorkflowError(str(error)) from None
pipeline.find_own_programs()

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


def pack_spec(wildcards):
    """The packed form that a job writes."""
    return PIPELINE.pack_specs[wildcards.form]


def train_spec(wildcards):
    """The specification of the run that a job is about."""
    return runs.specification(PIPELINE.trained[wildcards.run].spec)


def start_weights(wildcards):
    """The weights that a run starts from, where another run makes them."""
    return PIPELINE.weights_before(wildcards.run, "start")


def teacher_weights(wildcards):
    """The weights of the run that teaches a run."""
    return PIPELINE.weights_before(wildcards.run, "teacher")


def mean_image(wildcards):
    """The mean image that a run subtracts, where its recipe says so."""
    return PIPELINE.mean_image(wildcards.run)


def cost_spec(wildcards):
    """What is measured of a network."""
    return runs.specification(PIPELINE.costs.forms[f"results/costs/{PIPELINE.label}/{wildcards.network}.json"])


def cost_source(wildcards):
    """What says how many classes there are, and of which size pictures are where weights say it."""
    path = f"results/costs/{PIPELINE.label}/{wildcards.network}.json"
    return PIPELINE.costs.weights.get(path, rules.acquire.output.source)


def captioned(pattern, name, category):
    """A file that `snakemake --report` shows with the caption of its name."""
    caption = f"../report/{name}.rst"
    return report(pattern.format(name), caption=caption, category=category)


def work_folder(wildcards):
    """Where a run's checkpoints lie, outside every rule's outputs: Snakemake deletes those of a failed job."""
    return f"work/{wildcards.run.rsplit('-', 1)[1]}"


def weights_info(wildcards):
    """What predicting depends on. Damaged predictions are made again, as --forcerun would, in a dry run too."""
    for path in PIPELINE.damaged_predictions(wildcards.run) if workflow.is_main_process else []:
        if path not in workflow.dag.forcefiles:
            print(f"{path} is damaged or of an older format: it is made again", file=sys.stderr)
        workflow.dag.forcefiles.add(path)
    return f"results/runs/{wildcards.run}/weights.json"


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
