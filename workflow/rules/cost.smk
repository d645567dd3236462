# What networks cost on this machine: each job alone on it. What was measured stays, whatever machine comes after.
rule cost:
    input:
        source=cost_source,
    output:
        f"results/costs/{PIPELINE.label}/{{network}}.json",
    log:
        "logs/cost/{network}.log",
    benchmark:
        "logs/benchmarks/cost/{network}.tsv"
    wildcard_constraints:
        network=r"[^/]+,[^/]+-[0-9a-f]{8}",
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        gpu=min(1, GPUS),
    params:
        spec=cost_spec,
    shell:
        "exec python -m ilsvrc.stages.cost --spec {params.spec:q} --source {input.source:q}"
        " --output {output:q} --threads {threads} --gpus {resources.gpu} --log {log:q}"


# In int8, always on the CPU: with the weights of each network's first run.
rule int8:
    input:
        weights=ancient("results/runs/{run}/weights.safetensors"),
        weights_info="results/runs/{run}/weights.json",
        train=ancient(f"{PIPELINE.packed}/train.beton"),
        train_manifest=f"{PIPELINE.packed}/train.manifest.json",
        val=ancient(f"{PIPELINE.packed_for_test}/val.beton"),
        val_manifest=f"{PIPELINE.packed_for_test}/val.manifest.json",
    output:
        "results/costs/{run}/int8.json",
    log:
        "logs/int8/{run}.log",
    benchmark:
        "logs/benchmarks/int8/{run}.tsv"
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        loader="ffcv",
    shell:
        "exec python -m ilsvrc.stages.int8 --run {wildcards.run:q} --weights {input.weights:q}"
        " --weights-info {input.weights_info:q} --train {input.train:q} --val {input.val:q}"
        " --output {output:q} --threads {threads} --loader {resources.loader} --log {log:q}"


rule cost_table:
    input:
        costs=PIPELINE.costs.files,
        scores=rules.score.output.scores,
    output:
        table=report("results/tables/costs.csv", caption="../report/costs.rst", category="Costs"),
        points=report(
            "results/tables/error_against_costs.csv",
            caption="../report/error_against_costs.rst",
            category="Costs",
        ),
        figure=report(
            "results/figures/error_against_costs.svg",
            caption="../report/error_against_costs.rst",
            category="Costs",
        ),
    log:
        "logs/cost_table.log",
    benchmark:
        "logs/benchmarks/cost_table.tsv"
    conda:
        "../../environment.yml"
    params:
        spec=PIPELINE.cost_table_spec,
    shell:
        "exec python -m ilsvrc.stages.cost_table --spec {params.spec:q} --scores {input.scores:q}"
        " --table {output.table:q} --points {output.points:q} --figure {output.figure:q} --log {log:q}"
