# What is inside the networks: of each its first run.
rule inspect:
    input:
        weights=ancient("results/runs/{run}/weights.safetensors"),
        weights_info="results/runs/{run}/weights.json",
        train=ancient(training_pictures),
        val=ancient(f"{PIPELINE.packed_for_test}/val.beton"),
        manifest=f"{PIPELINE.packed_for_test}/val.manifest.json",
    output:
        found="results/inspect/{run}/inspect.json",
        pictures=directory("results/inspect/{run}/pictures"),
    log:
        "logs/inspect/{run}.log",
    benchmark:
        "logs/benchmarks/inspect/{run}.tsv"
    wildcard_constraints:
        run=wiring.one_of(PIPELINE.inspected),
    conda:
        "../../environment.yml"
    threads: training_threads()
    resources:
        gpu=min(1, GPUS),
        loader="ffcv",
    params:
        nearest_of=PIPELINE.nearest_of,
    shell:
        "exec python -m ilsvrc.stages.inspect --run {wildcards.run:q} --weights {input.weights:q}"
        " --weights-info {input.weights_info:q} --train {input.train:q} --val {input.val:q}"
        " --val-manifest {input.manifest:q} --nearest-of {params.nearest_of} --output {output.found:q}"
        " --pictures {output.pictures:q} --threads {threads} --gpus {resources.gpu}"
        " --loader {resources.loader} --log {log:q}"
