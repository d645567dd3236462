# Inputs and parameters of a job, by its wildcards.


def packed(folder, *splits):
    """Packed splits and their manifests, on whose content a job depends; the large files' times say nothing."""
    files = {split: ancient(f"{folder}/{split}.beton") for split in splits}
    return files | {f"{split}_manifest": f"{folder}/{split}.manifest.json" for split in splits}


def run_weights():
    """A run's weights and weights.json, on whose content a job depends."""
    return {"weights": ancient(RUN_FILES["weights"]), "weights_info": RUN_FILES["weights_info"]}


def source_spec(wildcards):
    """Specification of `acquire`; by a function, since Snakemake takes braces in other text for wildcards."""
    return PIPELINE.source_spec


def whole_spec(wildcards):
    """Specification of `record`; a function for the same reason."""
    return PIPELINE.whole_spec


def pack_spec(wildcards):
    """Specification of the packed form that a job writes."""
    return PIPELINE.pack_specs[wildcards.form]


def train_spec(wildcards):
    """Specification of a training."""
    return specs.specification(PIPELINE.trained[wildcards.run].spec)


def longest_first(wildcards):
    """Priority of a training."""
    return PIPELINE.training_priorities[wildcards.run]


def start_weights(wildcards):
    """Weights that a run starts from, where another run makes them."""
    return PIPELINE.dependency_weights(wildcards.run, "start")


def teacher_weights(wildcards):
    """Weights of the run that teaches a run."""
    return PIPELINE.dependency_weights(wildcards.run, "teacher")


def other_runs():
    """Weights of the runs that a run starts from, and that teaches it."""
    return {"start": start_weights, "teacher": teacher_weights}


def mean_image(wildcards):
    """Mean image that a run subtracts, where its recipe says so."""
    return PIPELINE.mean_image(wildcards.run)


def cost_spec(wildcards):
    """Specification of a network's measurement."""
    return specs.specification(PIPELINE.costs.forms[f"results/costs/{PIPELINE.label}/{wildcards.network}.json"])


def cost_source(wildcards):
    """File that says the number of classes, and the images' size where weights say it."""
    path = f"results/costs/{PIPELINE.label}/{wildcards.network}.json"
    return PIPELINE.costs.weights.get(path, rules.acquire.output.source)


def captioned(pattern, name, category):
    """A file that `snakemake --report` shows with the caption of its name."""
    return report(pattern.format(name), caption=f"../report/{name}.rst", category=category)


def work_folder(wildcards):
    """Folder of a run's checkpoints, outside every rule's outputs: Snakemake deletes those of a failed job."""
    return f"work/{wildcards.run.rsplit('-', 1)[1]}"


def import_spec(wildcards):
    """Specification of a run whose weights are pretrained."""
    return specs.specification(PIPELINE.imported[wildcards.run].spec)


def file_of_weights(wildcards):
    """A person's file of weights, where they are not a library's."""
    return PIPELINE.file_of_weights(wildcards.run)


def training_images(wildcards):
    """Training images among which the nearest are looked for, where a run was trained here."""
    return PIPELINE.training_images(wildcards.run)


def all_manifests(wildcards):
    """Manifests of every packed split; lost files are found before Snakemake looks which are there."""
    lost()
    return PIPELINE.manifests()


def all_models(wildcards):
    """weights.json of every run; lost files are found before Snakemake looks which are there."""
    lost()
    return PIPELINE.for_each_run(RUN_FILES["weights_info"])


def all_predictions(wildcards):
    """Predictions of every run by every protocol; refused ones are found before Snakemake looks which are there."""
    lost()
    refused()
    return PIPELINE.predictions()


def sign_of_refused(wildcards):
    """An input more, and a new one, where refused predictions stay: a dry run lists them to be made again."""
    folder = f"results/predictions/{wildcards.run}/"
    return sign_of(any(path.startswith(folder) for path in refused()))


def sign_of_lost(*parts):
    """The same of lost files whose paths hold one of `parts`, in which a job's wildcards are filled in."""

    def sign(wildcards):
        asked = [part.format(**dict(wildcards.items())) for part in parts]
        return sign_of(any(part in path for path in lost() for part in asked))

    return sign


def sign_of(any_stays):
    """A new file where `any_stays`, which it never does where jobs run."""
    if workflow.touch or not any_stays:
        return []
    sign = workflow.snakemake_tmp_dir / "sign"
    sign.touch()
    return str(sign)
