report: "../report/workflow.rst"


rule score:
    input:
        predictions=ancient(PIPELINE.predictions()),
        weights_info=PIPELINE.of_runs("results/runs/{run}/weights.json"),
        history=PIPELINE.of_runs("results/runs/{run}/history.csv"),
        run_info=PIPELINE.of_runs("results/runs/{run}/run.json"),
    output:
        scores="results/scores.csv",
        metrics="results/metrics.json",
        curves="results/curves.csv",
        tables=expand("results/tables/{name}.csv", name=["per_class", "confusion", "calibration", "mcnemar"]),
    log:
        "logs/score.log",
    benchmark:
        "logs/benchmarks/score.tsv"
    conda:
        "../../environment.yml"
    params:
        spec=PIPELINE.results_spec,
    shell:
        "exec python -m ilsvrc.stages.score --spec {params.spec:q} --scores {output.scores:q}"
        " --metrics {output.metrics:q} --curves {output.curves:q} --tables results/tables --log {log:q}"


rule report:
    input:
        scores=rules.score.output.scores,
        curves=rules.score.output.curves,
    output:
        report=report(
            "results/report.html",
            caption="../report/report.rst",
            category="Report",
        ),
        table=report(
            "results/tables/errors.csv",
            caption="../report/errors.rst",
            category="Errors",
        ),
        figure=report(
            "results/figures/learning_curves.svg",
            caption="../report/learning_curves.rst",
            category="Learning curves",
        ),
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    params:
        spec=PIPELINE.results_spec,
    shell:
        "exec python -m ilsvrc.stages.report --spec {params.spec:q} --scores {input.scores:q}"
        " --curves {input.curves:q} --report {output.report:q} --table {output.table:q}"
        " --figure {output.figure:q} --log {log:q}"


rule record:
    input:
        rules.report.output.report,
        PIPELINE.cost_results(),
    output:
        "work/recorded.json",
    log:
        "logs/record.log",
    benchmark:
        "logs/benchmarks/record.tsv"
    conda:
        "../../environment.yml"
    params:
        spec=PIPELINE.whole_spec,
        skip=not_recorded(),
    shell:
        "exec python -m ilsvrc.stages.record --spec {params.spec:q} --skip={params.skip:q}"
        " --output {output:q} --log {log:q}"
