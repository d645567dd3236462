# Costs of the networks on this machine, each job alone on it. Files that are there stay, whatever machine comes after.
rule cost:
    input:
        source=cost_source,
        lost=sign_of_lost(f"results/costs/{PIPELINE.label}/{{network}}.json"),
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
        **machine("gpu"),
    params:
        spec=cost_spec,
    shell:
        command("cost")


# In int8, always on the CPU: with the weights of each network's first run.
rule int8:
    input:
        **run_weights(),
        **packed(PIPELINE.packed, "train"),
        **packed(PIPELINE.packed_for_test, "val"),
        lost=sign_of_lost("{run}/int8.json"),
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
        **machine("loader"),
    shell:
        command("int8")


rule cost_table:
    input:
        costs=PIPELINE.costs.files,
        scores=rules.score.output.scores,
    output:
        table=captioned("results/tables/{}.csv", "costs", "Costs"),
        points=captioned("results/tables/{}.csv", "error_against_costs", "Costs"),
        figure=captioned("results/figures/{}.svg", "error_against_costs", "Costs"),
    log:
        "logs/cost_table.log",
    benchmark:
        "logs/benchmarks/cost_table.tsv"
    conda:
        "../../environment.yml"
    params:
        spec=PIPELINE.cost_table_spec,
    shell:
        command("cost_table")
