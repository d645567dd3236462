rule train:
    input:
        train=ancient(f"{PIPELINE.packed}/train.beton"),
        train_manifest=f"{PIPELINE.packed}/train.manifest.json",
        val=ancient(f"{PIPELINE.packed}/val.beton"),
        val_manifest=f"{PIPELINE.packed}/val.manifest.json",
        mean_image=ancient(mean_image),
        start=start_weights,
        teacher=teacher_weights,
    output:
        weights="results/runs/{run}/weights.safetensors",
        weights_info="results/runs/{run}/weights.json",
        history="results/runs/{run}/history.csv",
        run_info="results/runs/{run}/run.json",
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
        gpu=min(1, GPUS),
        processes=0,
        precision="auto",
        loader="ffcv",
        accumulate=1,
        compile="auto",
    params:
        spec=train_spec,
        work=work_folder,
    shell:
        "exec python -m ilsvrc.stages.train --spec {params.spec:q} --run {wildcards.run:q}"
        " --train {input.train:q} --train-manifest {input.train_manifest:q}"
        " --val {input.val:q} --val-manifest {input.val_manifest:q}"
        " --start {input.start:q} --teacher {input.teacher:q}"
        " --weights {output.weights:q} --weights-info {output.weights_info:q}"
        " --history {output.history:q} --run-info {output.run_info:q} --work {params.work:q}"
        " --processes {resources.processes} --threads {threads} --gpus {resources.gpu}"
        " --precision {resources.precision} --loader {resources.loader}"
        " --accumulate {resources.accumulate} --compile {resources.compile} --log {log:q}"


rule models:
    input:
        PIPELINE.of_runs("results/runs/{run}/weights.json"),
