# What the rules ask the pipeline for: inputs and parameters of a job, by its wildcards.


def pack_spec(wildcards):
    """The packed form that a job writes."""
    return PIPELINE.pack_specs[wildcards.form]


def train_spec(wildcards):
    """The specification of the run that a job is about."""
    return specs.specification(PIPELINE.trained[wildcards.run].spec)


def longest_first(wildcards):
    """The priority of a training."""
    return PIPELINE.training_priorities[wildcards.run]


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
    return specs.specification(PIPELINE.costs.forms[f"results/costs/{PIPELINE.label}/{wildcards.network}.json"])


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


def import_spec(wildcards):
    """The specification of the run whose weights were not trained here."""
    return specs.specification(PIPELINE.imported[wildcards.run].spec)


def file_of_weights(wildcards):
    """A person's file of weights, where they are not a library's."""
    return PIPELINE.file_of_weights(wildcards.run)


def training_pictures(wildcards):
    """The training pictures among which the nearest are looked for, where a run was trained here."""
    return PIPELINE.training_pictures(wildcards.run)
