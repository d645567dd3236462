"""What a plain dry run lists and refuses, before any job."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkouts import Checkout

from ilsvrc.config.params import load
from ilsvrc.evaluation import predictions
from ilsvrc.pipeline import wiring
from ilsvrc.runtime import locks

FRESH = {
    "acquire": 1, "pack": 2, "train": 3, "predict": 3, "score": 1, "cost": 3, "cost_table": 1, "inspect": 3,
    "report": 1, "record": 1,
}  # fmt: skip

MADE_WITH = {"revision": 1, "weights_sha256": "w", "manifest_sha256": "m"}
HASHES = json.dumps({"weights_sha256": "w", "content_sha256": "m"})

NO_TORCH = """
import sys
from snakemake.cli import main
try:
    main(["--cores", "all", "--dry-run"])
except SystemExit as end:
    assert not end.code
assert not {"torch", "ffcv", "mlflow", "sklearn", "numba"} & set(sys.modules), "a dry run imports what it does not need"
"""


def keep(folder: Path, run: str, protocol: str, **changes: Any) -> Path:
    """A whole file of predictions, by the weights that `complete` writes."""
    path = folder / "results/predictions" / run / f"{protocol}.npz"
    found = predictions.keep(
        np.array([[0.25, 0.75]], np.float32), np.array([1]), np.array(["a.jpg"]), MADE_WITH | changes
    )
    predictions.write_prediction(path, found)
    return path


def test_default_book_lists_every_job_once(checkout):
    assert checkout.jobs() == FRESH


def test_dry_run_imports_neither_torch_nor_anything_heavy(checkout):
    done = subprocess.run([sys.executable, "-c", NO_TORCH], cwd=checkout.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_sweeps_seeds_and_architectures_multiply_runs(checkout):
    checkout.edit(architectures=["resnet18"], sweep={"learning_rate": [0.1, 0.2]}, seeds=[0, 1, 2])
    assert checkout.jobs() == FRESH | {"train": 6, "predict": 6, "cost": 1, "inspect": 1}  # of each network once


def test_test_images_of_another_form_are_packed_beside_the_others(checkout):
    checkout.edit(data={"test_form": {"encoding": "jpeg"}})
    assert checkout.jobs() == FRESH | {"pack": 3}


def test_unknown_key_stops_before_any_job_and_is_named(checkout):
    checkout.edit(architecture=["alexnet"])
    done = checkout.snakemake(check=False)
    assert done.returncode == 1
    assert "params.yaml: architecture is not a key; did you mean architectures?" in done.stderr
    assert not (checkout.folder / "data").exists()


def test_a_key_that_stands_twice_stops_before_any_job_and_is_named(checkout):
    with (checkout.folder / "params.yaml").open("a") as book:
        book.write("seeds: [1, 2]\n")
    done = checkout.snakemake(check=False)
    assert done.returncode == 1
    assert "params.yaml: seeds stands twice, in lines " in done.stderr


def test_missing_folder_of_pictures_is_named(checkout):
    checkout.edit(dataset="folder", data={"path": "no/such/pictures"})
    done = checkout.snakemake("--dry-run", check=False)
    assert done.returncode == 1
    assert "data: path: no/such/pictures is not there" in done.stdout + done.stderr


def test_configfile_replaces_the_book_and_is_not_recorded(checkout):
    checkout.write("other.yaml", dataset="digits", architectures=["vgg_a"], recipe="quick", protocols=["ten_crop"])
    assert checkout.jobs("--configfile", "other.yaml") == FRESH | {"train": 1, "predict": 1, "cost": 1, "inspect": 1}


def complete(checkout: Checkout) -> wiring.Pipeline:
    """Files of all runs and predictions, as Snakemake sees them: newer than nothing that they are made from."""
    flow = wiring.Pipeline(load(checkout.folder / "params.yaml"))
    raw, packed = checkout.folder / flow.raw, checkout.folder / flow.packed
    made = [raw / "source.json", raw / "index.csv"]
    kinds = ("beton", "manifest.json", "images.csv", "mean_image.npy")
    made += [packed / f"{split}.{kind}" for split in ("train", "val") for kind in kinds]
    files = ("weights.safetensors", "weights.json", "history.csv", "run.json")
    made += [checkout.folder / "results/runs" / run / file for run in flow.runs for file in files]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HASHES)
    for run in flow.runs:
        for protocol in flow.params.protocols:
            keep(checkout.folder, run, protocol)
    return flow


def test_a_protocol_added_later_is_predicted_by_the_same_rule(checkout):
    complete(checkout)
    assert "predict" not in checkout.jobs()
    checkout.edit(protocols=["single_crop", "ten_crop", "flip"])
    assert checkout.jobs()["predict"] == 3
    assert "flip.npz" in checkout.snakemake("--dry-run", "--until", "predict", "--quiet", "host").stdout
    assert "Skipping" not in checkout.snakemake("--dry-run", "--set-resources", "predict:processes=2").stderr


def test_predictions_can_be_forced_whatever_is_there(checkout):
    complete(checkout)
    assert checkout.jobs("--forcerun", "predict")["predict"] == 3


def test_times_ahead_of_the_clock_are_said_and_settled_where_jobs_run(checkout):
    complete(checkout)
    a_minute_ago = time.time() - 60
    for path in checkout.folder.rglob("*"):
        os.utime(path, (a_minute_ago, a_minute_ago))
    manifests = [*(checkout.folder / "data/packed").rglob("*.manifest.json")]
    for path in manifests:
        os.utime(path, (time.time() + 3600,) * 2)
    dry = checkout.snakemake("--dry-run", "data").stderr
    assert f"the clock was set back: {len(manifests)} files have times ahead of it" in dry
    assert all(path.stat().st_mtime > time.time() + 3000 for path in manifests)

    assert "Nothing to be done" in checkout.snakemake("data").stderr
    assert all(path.stat().st_mtime <= time.time() for path in manifests)
    assert "the clock was set back" not in checkout.snakemake("--dry-run", "data").stderr


def damaged_prediction(checkout: Checkout) -> Path:
    """A prediction that is cut short, in a checkout where all others are whole."""
    first = next(iter(complete(checkout).runs))
    damaged = checkout.folder / "results/predictions" / first / "ten_crop.npz"
    damaged.write_bytes(damaged.read_bytes()[:300])
    return damaged


def test_a_damaged_prediction_is_listed_and_named_and_a_dry_run_leaves_it(checkout):
    damaged = damaged_prediction(checkout)
    assert checkout.jobs()["predict"] == 1
    said = f"{damaged.relative_to(checkout.folder)} is damaged or of an older format: it is made again"
    assert said in checkout.snakemake("--dry-run").stderr
    assert damaged.exists()
    assert checkout.jobs("data") == {}


@pytest.mark.parametrize("word", ["--lint", "--summary", "--dag", "--list", "--unlock", "--report=x.html", "--touch"])
def test_only_a_run_of_jobs_removes_a_damaged_prediction(checkout, word):
    damaged = damaged_prediction(checkout)
    checkout.snakemake(word, check=False)
    assert damaged.exists()


def test_a_run_removes_a_damaged_prediction_alone_and_one_that_is_refused_removes_nothing(checkout):
    damaged = damaged_prediction(checkout)
    whole, target = damaged.with_name("single_crop.npz"), str(damaged.relative_to(checkout.folder))
    with locks.locked(checkout.folder / "work/snakemake.lock"):
        refused = checkout.snakemake(target, check=False)
    assert "works in this folder" in refused.stderr
    assert damaged.exists()
    checkout.snakemake(target, check=False)  # the job fails: there is no network
    assert not damaged.exists()
    assert whole.exists()


def emptied(checkout: Checkout, name: str) -> Path:
    """A file of the first run that a loss of power left empty, its time kept; all others are whole."""
    path = checkout.folder / "results/runs" / next(iter(complete(checkout).runs)) / name
    time = path.stat().st_mtime_ns
    path.write_bytes(b"")
    os.utime(path, ns=(time, time))
    return path


@pytest.mark.parametrize("target", ["all", "models"])
def test_an_emptied_file_is_listed_and_named_and_a_dry_run_leaves_it(checkout, target):
    path = emptied(checkout, "weights.safetensors")
    done = checkout.snakemake("--dry-run", target)
    assert f"{path.relative_to(checkout.folder)} is empty: it is made again" in done.stderr
    assert re.search(r"^train +1$", done.stdout, re.MULTILINE)
    assert path.exists()


def test_a_run_removes_an_emptied_file_and_one_that_is_refused_removes_nothing(checkout):
    path = emptied(checkout, "history.csv")
    with locks.locked(checkout.folder / "work/snakemake.lock"):
        assert "works in this folder" in checkout.snakemake("models", check=False).stderr
    assert path.exists()
    checkout.snakemake("models", "--until", "acquire", check=False)
    assert not path.exists()


def test_emptied_data_go_and_are_made_again_when_a_job_needs_them(checkout):
    flow = complete(checkout)
    path = checkout.folder / flow.packed / "train.beton"
    path.write_bytes(bytes(100))
    done = checkout.snakemake("--dry-run", "data")
    said = f"{path.relative_to(checkout.folder)} holds zeros in the place of its content"
    assert f"{said}: it is made again when a job needs it" in done.stderr
    checkout.snakemake("data")
    assert not path.exists()


@pytest.mark.parametrize("key", ["revision", "weights_sha256", "manifest_sha256"])
def test_a_prediction_of_other_weights_images_or_revision_is_made_again_whatever_its_time_says(checkout, key):
    """Snakemake gives the former prediction a new time where its renewal failed."""
    stale = keep(checkout.folder, next(iter(complete(checkout).runs)), "ten_crop", **{key: 0})
    assert checkout.jobs()["predict"] == 1
    said = f"{stale.relative_to(checkout.folder)} was made with another {key}: it is made again"
    assert said in checkout.snakemake("--dry-run").stderr


def test_one_pipeline_at_a_time_in_a_folder(checkout):
    path = checkout.folder / "work/snakemake.lock"
    with locks.locked(path):
        path.write_text("4242")
        done = checkout.snakemake(check=False)
        assert done.returncode == 1
        assert "another snakemake (process 4242) works in this folder" in done.stderr
        assert checkout.jobs() == FRESH  # a dry run needs no lock


def test_each_training_asks_for_one_gpu_where_there_are_any_and_for_none_elsewhere(checkout):
    def commands(devices: str) -> str:
        words = ("--dry-run", "--printshellcmds", "--quiet", "host")
        return checkout.snakemake(*words, CUDA_VISIBLE_DEVICES=devices).stdout

    assert commands("0,1").count("--gpus 1") == 12  # of each network a training, a prediction, its costs, its inside
    assert commands("").count("--gpus 0") == 12


def test_more_gpus_than_there_are_is_an_error_and_not_fewer_in_silence(checkout):
    words = ("--dry-run", "--set-resources", "train:gpu=4")
    done = checkout.snakemake(*words, check=False, CUDA_VISIBLE_DEVICES="0,1")
    assert done.returncode == 1
    assert "train:gpu=4 is asked for, but the limit here is 2" in done.stderr + done.stdout
    assert checkout.snakemake(*words, CUDA_VISIBLE_DEVICES="0,1,2,3").returncode == 0


def test_one_error_message_is_enough_for_a_misspelt_training_key(checkout):
    checkout.edit(training={"learning_rat": 0.1})
    done = checkout.snakemake(check=False)
    assert "not 'learning_rat'; did you mean learning_rate?" in done.stderr + done.stdout


def test_a_teacher_is_trained_first_and_only_its_pupils_are_tested(checkout):
    checkout.edit(architectures=["resnet18"], training={"teacher": "resnet34"})
    assert checkout.jobs() == FRESH | {"train": 2, "predict": 1, "cost": 1, "inspect": 1}


def test_costs_are_measured_in_what_is_asked_for_and_in_nothing_where_they_are_off(checkout):
    checkout.edit(costs=["float32", "int8"], seeds=[0, 1])
    assert checkout.jobs() == FRESH | {"train": 6, "predict": 6, "int8": 3}
    checkout.edit(costs=False, seeds=[0])
    assert checkout.jobs() == {rule: count for rule, count in FRESH.items() if not rule.startswith("cost")}


def test_networks_are_looked_into_only_where_that_is_asked_for(checkout):
    checkout.edit(inspect={"nearest_of": 50_000})
    assert checkout.jobs() == FRESH
    checkout.edit(inspect=False)
    assert checkout.jobs() == {rule: count for rule, count in FRESH.items() if rule != "inspect"}
    checkout.edit(inspect={"nearest_of": 60_000})
    done = checkout.snakemake(check=False)
    assert done.returncode == 1
    assert "nearest_of" in done.stderr + done.stdout and "50000" in done.stderr + done.stdout


def test_a_precision_that_is_not_measured_is_named_with_those_that_are(checkout):
    checkout.edit(costs=["int4"])
    done = checkout.snakemake(check=False)
    assert done.returncode == 1
    assert "params.yaml: costs: ['int4'] cannot be measured; it can be true (float32, bfloat16)" in done.stderr


def test_each_measurement_has_the_machine_to_itself(checkout):
    words = ("--cores", "4", "--dry-run", "--printshellcmds", "--quiet", "host")
    measured = [line for line in checkout.run("snakemake", *words).stdout.splitlines() if "ilsvrc.stages.cost " in line]
    assert len(measured) == 3
    assert all("--threads 4" in line for line in measured)


def test_weights_that_exist_stand_beside_trainings_and_teach_without_being_trained(checkout):
    teacher = "timm/regnety_160.deit_in1k"
    checkout.edit(architectures=["resnet18"], training={"teacher": teacher}, weights={"resnet50_b": "timm/a1_in1k"})
    assert checkout.jobs() == FRESH | {"train": 1, "import_weights": 2, "predict": 2, "cost": 2, "inspect": 2}
