"""Shell commands of the rules: the options of each stage, which Snakemake fills from the rule's files and parameters.

`params.spec` stands for `--spec {params.spec:q}`, `input.val_manifest` for `--val-manifest {input.val_manifest:q}`. An
option of another name stands before its value: `gpus=resources.gpu`. A word that begins with `--` is taken as it is.
"""

OPTIONS = {
    "acquire": "params.spec output.source output.index",
    "pack": """
        params.spec wildcards.split input.source input.index
        output.beton output.manifest output.images output.mean_image workers=threads
        """,
    "train": """
        params.spec wildcards.run input.train input.train_manifest input.val input.val_manifest
        input.start input.teacher output.weights output.weights_info output.history output.run_info params.work
        resources.processes threads gpus=resources.gpu resources.precision resources.loader resources.accumulate
        resources.compile
        """,
    "import_weights": """
        params.spec wildcards.run input.file input.val_manifest
        output.weights output.weights_info output.history output.run_info params.work
        """,
    "predict": """
        wildcards.run input.weights input.weights_info input.val input.val_manifest input.images output=output
        resources.processes threads gpus=resources.gpu resources.precision resources.loader
        """,
    "score": "params.spec output.scores output.metrics output.curves --tables=results/tables",
    "cost": "params.spec input.source output=output threads gpus=resources.gpu",
    "int8": """
        wildcards.run input.weights input.weights_info input.train input.val output=output threads resources.loader
        """,
    "cost_table": "params.spec input.scores output.table output.points output.figure",
    "inspect": """
        wildcards.run input.weights input.weights_info input.train input.val input.val_manifest params.nearest_of
        output.output output.pictures threads gpus=resources.gpu resources.loader
        """,
    "report": """
        params.spec input.scores input.curves input.costs params.packed output.report
        --tables=results/tables --figures=results/figures
        """,
    "record": "params.spec --skip={params.skip:q} output=output",
}


def command(stage: str) -> str:
    """Shell command of a rule that runs `ilsvrc.stages.<stage>`."""
    return " ".join([f"exec python -m ilsvrc.stages.{stage}", *map(_option, OPTIONS[stage].split()), "--log {log:q}"])


def _option(word: str) -> str:
    """An option and its value: `input.train` -> `--train {input.train:q}`."""
    if word.startswith("--"):
        return word
    name, _, value = word.rpartition("=")
    name = name or value.rpartition(".")[2]
    return f"--{name.replace('_', '-')} {{{value}:q}}"
