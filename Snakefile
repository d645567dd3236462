"""From the raw archive to the paper's own table: edit params.yaml, type `snakemake --cores all`."""

from snakemake.utils import min_version

min_version("9.0")

if not workflow.overwrite_configfiles:

    configfile: "params.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/cost.smk"
include: "workflow/rules/inspect.smk"


localrules:
    all,
    data,
    models,


rule all:
    default_target: True
    input:
        PIPELINE.for_each_run("results/runs/{run}/weights.json"),
        all_predictions,
        "results/report.html",
        "work/recorded.json",


onstart:
    wiring.hold_the_lock()


onsuccess:
    print_results()
