rule train:
    input:
        **packed(PIPELINE.packed, "train", "val"),
        **other_runs(),
        mean_image=ancient(mean_image),
        lost=sign_of_lost("results/runs/{run}/"),
    output:
        **RUN_FILES,
    log:
        "logs/train/{run}.log",
    benchmark:
        "logs/benchmarks/train/{run}.tsv"
    wildcard_constraints:
        run=wiring.one_of(PIPELINE.trained),
    priority: longest_first
    conda:
        "../../environment.yml"
    threads: training_threads()
    resources:
        **machine("gpu", "processes", "precision", "loader", "accumulate", "compile"),
    params:
        spec=train_spec,
        work=work_folder,
    shell:
        command("train")


rule models:
    input:
        all_models,
