PREDICTION_GROUPS = PIPELINE.prediction_groups(workflow.is_main_process)


# One rule for each set of protocols that one job predicts together: nearly always one rule, all protocols.
for protocols, names in PREDICTION_GROUPS.items():

    rule:
        name:
            wiring.rule_name(protocols, PIPELINE.params.protocols)
        input:
            weights=ancient("results/runs/{run}/weights.safetensors"),
            weights_info=weights_info,
            val=ancient(f"{PIPELINE.packed_for_test}/val.beton"),
            manifest=f"{PIPELINE.packed_for_test}/val.manifest.json",
            images=ancient(f"{PIPELINE.packed_for_test}/val.images.csv"),
        output:
            expand("results/predictions/{{run}}/{protocol}.npz", protocol=protocols),
        log:
            f"logs/predict/{{run}}/{'_'.join(protocols)}.log",
        benchmark:
            f"logs/benchmarks/predict/{{run}}/{'_'.join(protocols)}.tsv"
        wildcard_constraints:
            run="|".join(map(re.escape, names)),
        conda:
            "../../environment.yml"
        threads: training_threads()
        resources:
            gpu=min(1, GPUS),
            processes=0,
            precision="auto",
            loader="ffcv",
        shell:
            "exec python -m ilsvrc.stages.predict --run {wildcards.run:q}"
            " --weights {input.weights:q} --weights-info {input.weights_info:q}"
            " --val {input.val:q} --val-manifest {input.manifest:q} --images {input.images:q}"
            " --output {output:q} --processes {resources.processes}"
            " --threads {threads} --gpus {resources.gpu}"
            " --precision {resources.precision} --loader {resources.loader} --log {log:q}"
