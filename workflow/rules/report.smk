report: "../report/workflow.rst"


BEHIND = ["per_class", "confusion", "calibration", "confused_classes", "hardest", "mcnemar"]
TABLES = ["errors", "published", "error_against_size", "times"]
FIGURES = ["learning_curves", "error_against_size", "confusion", "classes", "reliability", "hardest", "times"]


rule score:
    input:
        predictions=ancient(all_predictions),
        weights_info=PIPELINE.for_each_run("results/runs/{run}/weights.json"),
        history=PIPELINE.for_each_run("results/runs/{run}/history.csv"),
        run_info=PIPELINE.for_each_run("results/runs/{run}/run.json"),
        lost=sign_of_lost("results/scores.csv", "results/metrics.json", "results/curves.csv", "results/tables/"),
    output:
        scores="results/scores.csv",
        metrics="results/metrics.json",
        curves="results/curves.csv",
        tables=expand("results/tables/{name}.csv", name=BEHIND),
    log:
        "logs/score.log",
    benchmark:
        "logs/benchmarks/score.tsv"
    conda:
        "../../environment.yml"
    params:
        spec=PIPELINE.results_spec,
    shell:
        command("score")


# The packed test file, whose images are shown, is no input: where it is missing, it is not made for that.
rule report:
    input:
        scores=rules.score.output.scores,
        curves=rules.score.output.curves,
        tables=rules.score.output.tables,
        costs=PIPELINE.cost_results(),
        inspections=PIPELINE.inspections(),
        lost=sign_of_lost("results/report.html", "results/figures/"),
    output:
        report=captioned("results/{}.html", "report", "Report"),
        tables=[captioned("results/tables/{}.csv", name, "Tables") for name in TABLES],
        figures=[captioned("results/figures/{}.svg", name, "Figures") for name in FIGURES],
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    params:
        spec=PIPELINE.results_spec,
        packed=PIPELINE.packed_for_test,
    shell:
        command("report")


rule record:
    input:
        rules.report.output.report,
        PIPELINE.cost_results(),
        sign_of_lost("work/recorded.json"),
    output:
        "work/recorded.json",
    log:
        "logs/record.log",
    benchmark:
        "logs/benchmarks/record.tsv"
    conda:
        "../../environment.yml"
    params:
        spec=whole_spec,
        skip=not_recorded(),
    shell:
        command("record")
