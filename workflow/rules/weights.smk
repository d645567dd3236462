# Weights that were not trained here, in the place of a training: the same files.
rule import_weights:
    input:
        manifest=f"{PIPELINE.packed_for_test}/val.manifest.json",
        file=ancient(file_of_weights),
    output:
        weights="results/runs/{run}/weights.safetensors",
        weights_info="results/runs/{run}/weights.json",
        history="results/runs/{run}/history.csv",
        run_info="results/runs/{run}/run.json",
    log:
        "logs/import_weights/{run}.log",
    benchmark:
        "logs/benchmarks/import_weights/{run}.tsv"
    wildcard_constraints:
        run=wiring.one_of(PIPELINE.imported),
    conda:
        "../../environment.yml"
    params:
        spec=import_spec,
        work=work_folder,
    shell:
        "exec python -m ilsvrc.stages.import_weights --spec {params.spec:q} --run {wildcards.run:q}"
        " --file {input.file:q} --val-manifest {input.manifest:q}"
        " --weights {output.weights:q} --weights-info {output.weights_info:q}"
        " --history {output.history:q} --run-info {output.run_info:q} --work {params.work:q} --log {log:q}"
