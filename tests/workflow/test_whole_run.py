"""The whole pipeline on a tiny book, and what each later edit makes it do."""

import csv
import json
import os
import shutil
import sqlite3
import zipfile
from pathlib import Path

import pytest
from checkouts import BIN, CHECKOUT, Checkout, new_checkout, with_git

ON_PATH = f"{BIN}:{os.environ['PATH']}"
RESULTS = {"score": 1, "report": 1, "cost_table": 1, "record": 1}
TINY = {
    "dataset": "digits",
    "data": {},
    "architectures": ["resnet18"],
    "recipe": "quick",
    "training": {"epochs": 1, "warmup_epochs": 0, "crop_px": 32, "batch_size": 128},
    "seeds": [0],
    "protocols": ["single_crop", "ten_crop"],
    "sweep": {},
}
SCORES_COLUMNS = [
    *("run", "dataset", "architecture", "recipe", "seed", "protocol", "networks", "members", "num_images"),
    *("top1_error_percent", "top5_error_percent"),
    *("negative_log_likelihood", "expected_calibration_error_percent", "brier_score"),
    *("parameters", "multiply_adds", "train_seconds", "images_per_second", "source"),
]


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Checkout:
    """A checkout under git in which the plain command has run."""
    checkout = new_checkout(tmp_path_factory.mktemp("checkout"))
    checkout.write("params.yaml", **TINY)
    with_git(checkout).run("snakemake", "--cores", "all")
    commit(checkout, "one and ten crops")
    return checkout


@pytest.fixture
def edited(done):
    """The same; what a test changes in params.yaml is taken back."""
    before = (done.folder / "params.yaml").read_text()
    yield done
    (done.folder / "params.yaml").write_text(before)


def commit(checkout: Checkout, message: str) -> None:
    checkout.run("git", "add", "-A")
    checkout.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_hold_a_row_for_each_run_and_protocol(done):
    scores = rows(done.folder / "results/scores.csv")
    assert list(scores[0]) == SCORES_COLUMNS
    assert [row["protocol"] for row in scores] == ["single_crop", "ten_crop"]
    assert {row["num_images"] for row in scores} == {"355"}
    assert all(0 <= float(row["top5_error_percent"]) <= float(row["top1_error_percent"]) <= 100 for row in scores)


def test_nothing_is_to_be_done_after_a_run(done):
    assert done.jobs() == {}


def test_nothing_but_dvc_lock_is_new_to_git_and_dvc_is_clean(done):
    assert done.run("git", "status", "--porcelain").stdout == ""  # dvc.lock was committed
    assert "up to date" in done.run("dvc", "status").stdout


def test_snakemake_writes_nowhere_but_in_its_folders(done):
    there = {path.name for path in done.folder.iterdir()}
    assert there - set(CHECKOUT) - {".git", ".dvc"} == {
        "data",
        "results",
        "logs",
        "work",
        ".snakemake",
        "mlflow.db",
        "mlartifacts",
        "dvc.lock",
    }


@pytest.mark.parametrize(
    "edit, jobs",
    [
        ({"seeds": [0, 1]}, {"train": 1, "predict": 1}),
        ({"architectures": ["resnet18", "resnet18_b"]}, {"train": 1, "predict": 1, "cost": 1, "inspect": 1}),
        ({"protocols": ["single_crop"]}, {}),
        ({"protocols": ["single_crop", "ten_crop", "whole"]}, {"predict": 1}),
        ({"training": {**TINY["training"], "epochs": 2}}, {"train": 1, "predict": 1, "inspect": 1}),
        ({"sweep": {"label_smoothing": [0.0, 0.1]}}, {"train": 1, "predict": 1}),
        ({"data": {"short_side_px": 64}}, {"pack": 2, "train": 1, "predict": 1, "inspect": 1}),
        ({"ensembles": {"crops": {"members": ["resnet18"], "together": True}}}, {}),
    ],
    ids=["seed", "architecture", "one protocol fewer", "one protocol more", "epochs", "sweep", "form", "ensemble"],
)
def test_an_edit_reruns_exactly_what_depends_on_it(edited, edit, jobs):
    edited.edit(**edit)
    assert edited.jobs() == jobs | RESULTS


def test_a_prediction_that_was_deleted_is_made_again(tmp_path, done):
    run = rows(done.folder / "results/scores.csv")[0]["run"]
    there = done.folder / "results/predictions" / run / "ten_crop.npz"
    aside = shutil.move(there, tmp_path / "ten_crop.npz")
    assert done.jobs()["predict"] == 1
    shutil.move(aside, there)
    assert done.jobs() == {}


def test_results_of_another_specification_are_refused(tmp_path, done):
    copy = Checkout(shutil.copytree(done.folder, tmp_path / "copy", symlinks=True))
    run = rows(copy.folder / "results/scores.csv")[0]["run"]
    info = copy.folder / "results/runs" / run / "weights.json"
    spec = json.loads(info.read_text())
    spec["spec"]["seed"] = 99
    info.write_text(json.dumps(spec))
    failed = copy.snakemake("--forcerun", "score", check=False)
    assert failed.returncode == 1
    assert f"error: {run}" in failed.stderr


def test_mlflow_holds_a_run_with_its_curves_and_a_nested_run_for_each_protocol(done):
    with sqlite3.connect(done.folder / "mlflow.db") as database:
        nested = database.execute("SELECT COUNT(*) FROM tags WHERE key = 'mlflow.parentRunId'").fetchone()[0]
        runs = database.execute("SELECT COUNT(*) FROM runs WHERE name != 'report'").fetchone()[0]
        curves = {key for (key,) in database.execute("SELECT DISTINCT key FROM metrics WHERE step > 0")}
        tags = {key for (key,) in database.execute("SELECT DISTINCT key FROM tags")}
    assert nested == 2 * (runs - nested)
    assert any("loss" in key for key in curves) and any("learning_rate" in key for key in curves)
    assert {"commit", "manifest"} <= {part for key in tags for part in key.replace(".", "_").split("_")}


def test_dvc_repro_has_nothing_to_do_and_metrics_and_plots_show(done):
    assert "up to date" in done.run("dvc", "repro", PATH=ON_PATH).stdout
    assert "single_crop" in done.run("dvc", "metrics", "show").stdout
    done.run("dvc", "plots", "show")
    assert (done.folder / "dvc_plots/index.html").exists()
    shutil.rmtree(done.folder / "dvc_plots")


def test_snakemakes_own_report_has_each_figure_with_its_numbers_and_a_caption(done, tmp_path):
    done.snakemake("--report", str(tmp_path / "report.zip"))
    with zipfile.ZipFile(tmp_path / "report.zip") as made:
        held = {Path(name).name for name in made.namelist()}
        page = made.read("report/report.html").decode()
    figures = {path.name for path in (done.folder / "results/figures").glob("*.svg")}
    assert len(figures) >= 8 and figures <= held
    assert {"errors.csv", "published.csv", "costs.csv", "error_against_size.csv", "report.html"} <= held
    first_words = (done.folder / "workflow/report/reliability.rst").read_text().split()[:4]
    assert " ".join(first_words) in page


def test_a_clone_after_make_pull_has_nothing_to_do_and_an_edit_there_reruns_what_depends_on_it(done, tmp_path):
    remote, clone = tmp_path / "remote", Checkout(tmp_path / "clone")
    done.run("dvc", "remote", "add", "--local", "--default", "--force", "store", str(remote))
    done.run("dvc", "push")
    done.run("git", "clone", "-q", str(done.folder), str(clone.folder))
    clone.run("dvc", "remote", "add", "--local", "--default", "store", str(remote))
    pull(clone)
    assert clone.jobs() == {}
    clone.edit(training={**TINY["training"], "label_smoothing": 0.1})
    assert clone.jobs() == {"train": 1, "predict": 1, "inspect": 1} | RESULTS


def pull(clone: Checkout) -> None:
    """What `make pull` does once set up."""
    clone.run("dvc", "pull")
    clone.run("ilsvrc", "verify")
    clone.snakemake("--touch", "--forceall")


def test_a_tarball_without_git_runs_and_is_recorded(tmp_path, done):
    folder = tmp_path / "tarball"
    checkout = new_checkout(folder)
    for name in ("params.yaml", "data", "results", "work"):  # the training is done: only the record is tried
        there = done.folder / name
        copy = shutil.copytree if there.is_dir() else shutil.copy2
        copy(there, folder / name, **({"dirs_exist_ok": True} if there.is_dir() else {}))
    checkout.snakemake("--touch", "--forceall", "--until", "report")
    (folder / "work/recorded.json").unlink(missing_ok=True)
    checkout.snakemake()
    assert (folder / "dvc.lock").exists()
    assert "up to date" in checkout.run("dvc", "status").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
def test_an_ordinary_user_can_remake_what_dvc_recorded_and_a_damaged_prediction(tmp_path_factory, done):
    folder = tmp_path_factory.mktemp("ordinary") / "checkout"
    shutil.copytree(done.folder, folder, symlinks=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    for parent in list(folder.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o711)
    damaged = next((folder / "results/predictions").rglob("ten_crop.npz"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:1000])
    checkout = Checkout(folder)
    checkout.edit(ensembles={"crops": {"members": ["resnet18"], "together": True}})
    # May look everywhere (the interpreter may lie in root's home), may write only what is theirs.
    as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    see_all = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    command = ("snakemake", "--cores", "all")
    said = checkout.run(*as_nobody, *see_all, *command, HOME=str(folder / "home"), PATH=ON_PATH).stderr
    assert "ten_crop.npz is damaged or of an older format: it is made again" in said
    assert damaged.read_bytes() == whole
    assert "crops" in (folder / "results/scores.csv").read_text()
    assert checkout.jobs() == {}


def test_dvc_runs_an_experiment_and_shows_what_changed(edited):
    unrecorded = Path("results/runs/digits/vgg_a/quick/seed=0-00000000/weights.json")
    code = "from ilsvrc.runtime import files; from pathlib import Path; files.write_text(Path({!r}), '1')"
    edited.run("python", "-c", code.format(str(unrecorded)))
    edited.run("dvc", "exp", "run", "--set-param", "protocols=[single_crop,ten_crop,whole]", PATH=ON_PATH)
    assert edited.jobs() == {}
    assert (edited.folder / unrecorded).read_text() == "1"
    shutil.rmtree(edited.folder / unrecorded.parents[2])
    assert len(rows(edited.folder / "results/scores.csv")) == 3
    assert "whole" in edited.run("dvc", "metrics", "diff").stdout
    assert "protocols" in edited.run("dvc", "exp", "show", "--csv").stdout
