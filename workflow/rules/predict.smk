# One job predicts a run by all protocols: one decode. Predictions that are there and the run's own are kept, so that a
# protocol added later is predicted alone.
rule predict:
    input:
        **run_weights(),
        **packed(PIPELINE.packed_for_test, "val"),
        images=ancient(f"{PIPELINE.packed_for_test}/val.images.csv"),
        refused=sign_of_refused,
    output:
        [update(f"results/predictions/{{run}}/{protocol}.npz") for protocol in PIPELINE.params.protocols],
    log:
        f"logs/predict/{{run}}/{'_'.join(PIPELINE.params.protocols)}.log",
    benchmark:
        f"logs/benchmarks/predict/{{run}}/{'_'.join(PIPELINE.params.protocols)}.tsv"
    conda:
        "../../environment.yml"
    threads: training_threads()
    resources:
        **machine("gpu", "processes", "precision", "loader"),
    shell:
        command("predict")
