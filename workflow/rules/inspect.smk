# Kernels, nearest images and saliency of each network's first run.
rule inspect:
    input:
        **run_weights(),
        **packed(PIPELINE.packed_for_test, "val"),
        train=ancient(training_images),
        lost=sign_of_lost("results/inspect/{run}/"),
    output:
        output="results/inspect/{run}/inspect.json",
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
        **machine("gpu", "loader"),
    params:
        nearest_of=PIPELINE.nearest_of,
    shell:
        command("inspect")
