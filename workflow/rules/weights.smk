# Pretrained weights, in the place of a training: the same files.
rule import_weights:
    input:
        val_manifest=f"{PIPELINE.packed_for_test}/val.manifest.json",
        file=ancient(file_of_weights),
        lost=sign_of_lost("results/runs/{run}/"),
    output:
        **RUN_FILES,
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
        command("import_weights")
