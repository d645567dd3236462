rule acquire:
    output:
        source=f"{PIPELINE.raw}/source.json",
        index=f"{PIPELINE.raw}/index.csv",
        archives=PIPELINE.archives,
    log:
        "logs/acquire.log",
    benchmark:
        "logs/benchmarks/acquire.tsv"
    conda:
        "../../environment.yml"
    params:
        spec=source_spec,
    shell:
        command("acquire")


rule pack:
    input:
        source=rules.acquire.output.source,
        index=ancient(rules.acquire.output.index),
        archives=ancient(rules.acquire.output.archives),
    output:
        beton=f"{PIPELINE.all_packed}/{{form}}/{{split}}.beton",
        manifest=f"{PIPELINE.all_packed}/{{form}}/{{split}}.manifest.json",
        images=f"{PIPELINE.all_packed}/{{form}}/{{split}}.images.csv",
        mean_image=f"{PIPELINE.all_packed}/{{form}}/{{split}}.mean_image.npy",
    log:
        "logs/pack/{form}/{split}.log",
    benchmark:
        "logs/benchmarks/pack/{form}/{split}.tsv"
    conda:
        "../../environment.yml"
    threads: CORES
    params:
        spec=pack_spec,
    shell:
        command("pack")


rule data:
    input:
        all_manifests,
