"""The papers' recipes: each architecture has one, and its lines are the paper's."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from ilsvrc.config import registry
from ilsvrc.config.params import Params, load
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.recipe_files import resolve_recipe
from ilsvrc.config.runs import expand, with_dependencies
from ilsvrc.config.schema import read_yaml
from ilsvrc.models.common.reference_counts import architectures

ROOT = Path(__file__).parents[2]
FILES = sorted((registry.PACKAGE / registry.FOLDERS["recipes"]).glob("*.yaml"))
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))
BOOKS = {file.stem: read_yaml(file) for file in FILES}
NAMES = registry.names("models")
OURS = {"quick", "fast"}
SPECIAL = {"paper_of", "datasets", "architectures"}
LENGTHS = (12, 28)  # lines of a file without comments


def meant_for(book: dict) -> list[str]:
    patterns = [*book.get("paper_of", ()), *book.get("architectures", {})]
    return [name for name in NAMES if any(fnmatchcase(name, pattern) for pattern in patterns)]


def every_recipe() -> list[tuple[str, str, str]]:
    """(recipe, architecture, data set) for all that a file is for; ResNet-50 where it names nothing."""
    return [
        (file, name, dataset)
        for file, book in BOOKS.items()
        for name in meant_for(book) or ["resnet50"]
        for dataset in ("", *book.get("datasets", {}))
    ]


def paper(architecture: str, dataset: str = "") -> Recipe:
    return resolve_recipe("paper", architecture, {}, dataset)


def values_of(recipe: Recipe, like: dict) -> dict:
    return {key: getattr(recipe, key) for key in like}


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_has_exactly_one_papers_recipe(name):
    found = [file for file, book in BOOKS.items() if any(fnmatchcase(name, p) for p in book.get("paper_of", ()))]
    assert len(found) == 1, found


@pytest.mark.parametrize("depth", [20, 56, 110, 1202])
def test_the_place_of_a_shortcuts_zeros_changes_nothing_in_the_recipe(depth):
    assert paper(f"resnet{depth}_cifar_split_padding", "cifar10") == paper(f"resnet{depth}_cifar", "cifar10")


def test_every_row_of_the_architectures_table_has_a_papers_recipe():
    for name in architectures():
        assert paper(name).batch_size > 0


def test_every_pattern_finds_an_architecture_and_every_data_set_exists():
    for file, book in BOOKS.items():
        for pattern in [*book.get("paper_of", ()), *book.get("architectures", {})]:
            assert any(fnmatchcase(name, pattern) for name in NAMES), f"{file}: {pattern}"
        assert set(book.get("datasets", {})) <= set(registry.names("datasets"))


@pytest.mark.parametrize(("file", "name", "dataset"), every_recipe())
def test_every_file_parses_for_what_it_is_for_and_its_schedule_fits_its_length(file, name, dataset):
    recipe = resolve_recipe(file, name, {}, dataset)
    for falls, length in ((recipe.step_epochs, recipe.epochs), (recipe.step_iterations, recipe.iterations)):
        assert list(falls) == sorted(set(falls))
        assert not falls or (length is not None and falls[-1] < length)
    assert recipe.warmup_epochs < (recipe.epochs or 1)
    assert recipe.warmup_iterations < (recipe.iterations or 1)
    assert recipe.averaging_from_epoch < (recipe.epochs or 1)
    assert recipe.batch_size % (recipe.batch_norm_group or 1) == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_are_short_flat_and_begin_with_where_they_are_from(path):
    lines = path.read_text().splitlines()
    assert path.stem in OURS or re.match(r"# \D+ 20\d\d, ", lines[1])
    assert LENGTHS[0] <= sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines) <= LENGTHS[1]
    assert max(map(len, lines)) <= 120
    assert set(BOOKS[path.stem]) - SPECIAL <= set(Recipe.model_fields)


def test_papers_train_in_float32_but_for_half_precision_of_bag_of_tricks():
    half = {"bag_of_tricks", "bag_of_tricks_efficient", "bag_of_tricks_refined"}
    assert {file for file, book in BOOKS.items() if book.get("precision") == "float16"} == half
    assert all(book["precision"] == "float32" for file, book in BOOKS.items() if file not in half | OURS)


SGD = {"optimizer": "sgd", "momentum": 0.9}
STATED = {
    "alexnet": SGD
    | {"batch_size": 128, "learning_rate": 0.01, "weight_decay": 0.0005, "epochs": 90, "schedule": "plateau"}
    | {"most_falls": 3, "rate_in_momentum": True, "normalization": "mean_image", "lighting": 0.1},
    "zfnet": SGD | {"batch_size": 128, "learning_rate": 0.01, "epochs": 70, "largest_filter_rms": 0.1},
    "vgg_a": SGD
    | {"batch_size": 256, "learning_rate": 0.01, "weight_decay": 0.0005, "epochs": 74, "most_falls": 3}
    | {"short_side_px": (256, 256), "normalization": "mean", "start_from": None},
    "vgg_d": {"start_from": "vgg_a", "start_layers": "vgg", "learning_rate": 0.01},
    "googlenet": SGD
    | {"schedule": "exponential", "decay_factor": 0.96, "decay_epochs": 8.0, "averaging": "polyak"}
    | {"area": (0.08, 1.0), "aspect": (3 / 4, 4 / 3), "aspect_draw": "uniform", "interpolation": "random"},
    "bn_inception": {"batch_size": 32, "learning_rate": 0.0015},
    "inception_v3": {"optimizer": "rmsprop", "square_momentum": 0.9, "epsilon": 1.0, "learning_rate": 0.045}
    | {"decay_factor": 0.94, "decay_epochs": 2.0, "clip_norm": 2.0, "label_smoothing": 0.1, "epochs": 100}
    | {"batch_size": 32, "reference_batch_size": 32},
    "resnet50": SGD
    | {"batch_size": 256, "learning_rate": 0.1, "weight_decay": 0.0001, "iterations": 600_000, "dropout": None}
    | {"schedule": "plateau", "decay_factor": 0.1, "short_side_px": (256, 480), "crop": "rectangle"},
    "resnet20_cifar": SGD
    | {"batch_size": 128, "learning_rate": 0.1, "weight_decay": 0.0001, "iterations": 64_000, "warmup_iterations": 0}
    | {"step_iterations": (32_000, 48_000), "crop": "padding", "padding_px": 4, "flip": True},
    "resnet110_cifar": {"warmup_iterations": 400, "warmup_rate": 0.01, "learning_rate": 0.1},
    "preact_resnet1001_cifar": {"step_iterations": (32_000, 48_000), "warmup_iterations": 400, "batch_size": 128},
    "stochastic_depth_resnet110_cifar": {"epochs": 500, "step_epochs": (250, 375), "drop_path": 0.5, "nesterov": True},
    "wrn_28_10_cifar": SGD
    | {"batch_size": 128, "learning_rate": 0.1, "weight_decay": 0.0005, "epochs": 200, "nesterov": True}
    | {"step_epochs": (60, 120, 160), "decay_factor": 0.2, "padding": "reflect"},
    "fractalnet20_cifar": {"epochs": 400, "batch_size": 100, "learning_rate": 0.02, "drop_path": 0.15},
    "fractalnet34": {"epochs": 70, "batch_size": 32, "learning_rate": 0.001},
    "densenet_bc_100_12_cifar": SGD
    | {"batch_size": 64, "learning_rate": 0.1, "weight_decay": 0.0001, "epochs": 300, "step_epochs": (150, 225)},
    "densenet121": SGD | {"batch_size": 256, "epochs": 90, "step_epochs": (30, 60), "weight_decay": 0.0001},
    "resnext50_32x4d": {"batch_size": 256, "learning_rate": 0.1, "weight_decay": 0.0001, "batch_norm_group": 32},
    "resnext29_8x64d_cifar": {"epochs": 300, "step_epochs": (150, 225), "weight_decay": 0.0005, "learning_rate": 0.1},
    "se_resnet50": {"batch_size": 1024, "learning_rate": 0.6, "epochs": 100, "step_epochs": (30, 60, 90)},
    "xception": SGD | {"learning_rate": 0.045, "decay_factor": 0.94, "weight_decay": 0.00001, "dropout": 0.5},
    "shufflenet_g3_1x": {"batch_size": 1024, "learning_rate": 0.5, "weight_decay": 0.00004, "iterations": 300_000}
    | {"schedule": "linear"},
    "ghostnet_1x": {"batch_size": 1024, "learning_rate": 0.4},
    "levit_256": {"optimizer": "adamw", "epochs": 1000, "weight_decay": 0.025, "learning_rate": 0.0005}
    | {"reference_batch_size": 512, "mixup": 0.8, "cutmix": 1.0, "clip_adaptive": 0.01, "distillation": "hard"},
    "resnet50_d": {"epochs": 120, "step_epochs": (30, 60, 90), "batch_size": 1024, "warmup_epochs": 5.0}
    | {"zero_last_gamma": True, "decay": "weights", "precision": "float16", "nesterov": True},
}


@pytest.mark.parametrize("name", STATED)
def test_papers_recipe_has_the_papers_values(name):
    assert values_of(paper(name), STATED[name]) == STATED[name]


def test_bn_inceptions_three_rates_are_1_5_and_30_times_the_first_and_the_last_two_fall_six_times_as_fast():
    rates, decays = [], []
    for file in ("bn_inception", "bn_inception_x5", "bn_inception_x30"):
        recipe = resolve_recipe(file, "bn_inception", {})
        rates.append(recipe.learning_rate)
        decays.append(recipe.decay_epochs)
    assert rates == [0.0015, 0.0075, 0.045]
    assert decays == [8, pytest.approx(8 / 6), pytest.approx(8 / 6)]


def test_wide_resnets_on_svhn_have_their_own_schedule_and_see_whole_pictures():
    stated = {"epochs": 160, "learning_rate": 0.01, "step_epochs": (80, 120), "decay_factor": 0.1, "dropout": 0.4}
    stated |= {"crop": "patch", "short_side_px": (32, 32), "flip": False}
    assert values_of(paper("wrn_16_8_cifar", "svhn"), stated) == stated


def test_densenet_161_has_the_smaller_batch_and_the_longer_training():
    stated = {"batch_size": 128, "epochs": 100, "step_epochs": (30, 60, 90)}
    assert values_of(paper("densenet161"), stated) == stated


def test_rows_of_bag_of_tricks_fourth_table_lead_from_the_baseline_to_efficient_training():
    changes = {"batch_size": 1024, "batch_norm_group": 128, "warmup_epochs": 5, "zero_last_gamma": True}
    changes |= {"decay": "weights", "precision": "float16"}
    stacked = resolve_recipe("bag_of_tricks_baseline", "resnet50", changes)
    assert stacked == resolve_recipe("bag_of_tricks_efficient", "resnet50", {})


def test_rows_of_bag_of_tricks_sixth_table_lead_from_efficient_training_to_all_refinements():
    cosine = {"schedule": "cosine", "step_epochs": []}
    smoothed = resolve_recipe("bag_of_tricks_efficient", "resnet50_d", cosine | {"label_smoothing": 0.1})
    assert smoothed == resolve_recipe("bag_of_tricks_refined", "resnet50_d", {})
    distilled = resolve_recipe("bag_of_tricks", "resnet50_d", {"mixup": 0, "epochs": 120})
    mixed = resolve_recipe("bag_of_tricks", "resnet50_d", {"teacher": None, "teacher_recipe": None})
    assert (distilled.teacher, distilled.temperature, distilled.mixup) == ("resnet152_d", 20, 0)
    assert (mixed.teacher, mixed.mixup, mixed.epochs) == (None, 0.2, 200)


def test_presets_are_found():
    assert {"alexnet", "bag_of_tricks", "resnet_cifar10", "vgg"} <= {path.stem for path in PRESETS}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_preset_loads_and_names_how_it_is_run(path):
    params = load(path)
    points = len(params.sweep_points()) * len(params.seeds)
    assert len(expand(params)) == len(params.architectures) * points
    assert f"# snakemake --cores all --configfile presets/{path.name}" in path.read_text()


def test_vggs_preset_trains_a_once_and_before_the_networks_that_begin_with_it():
    runs = with_dependencies(expand(load(ROOT / "presets" / "vgg.yaml")))
    assert [run.spec.architecture for run in runs] == ["vgg_a", "vgg_a_lrn", "vgg_b", "vgg_c", "vgg_d", "vgg_e"]
    assert all(run.start is not None and run.start.name == runs[0].name for run in runs[2:])


def unstated() -> list[str]:
    """A row `| recipe | key | value | source |` for each line of a recipe that its paper leaves open."""
    rows = []
    for path in FILES:
        for line in path.read_text().splitlines():
            found = re.match(r"(\w+): (.+?)  # .*?unstated[^:]*: (.+)", line)
            if found:
                rows.append("| {} | {} | {} | {} |".format(path.stem, *found.groups()))
    return rows


def test_page_on_recipes_lists_everything_that_papers_leave_unstated():
    page = (ROOT / "docs" / "recipes.md").read_text()
    listed = page.split("| recipe | key | value | where it is from |\n|---|---|---|---|\n")[1].splitlines()
    assert listed == unstated()
    assert sum("unstated" in path.read_text() for path in FILES) == len({row.split(" | ")[0] for row in listed})


def sides(recipe: Recipe, crop_px: int) -> list[int]:
    return [recipe.crop_px_in(epoch, crop_px) for epoch in range(recipe.epochs or 0)]


GROWS = {"batch_size": 8, "learning_rate": 0.1, "grows_px": (160, 192)}


@pytest.mark.parametrize(
    ("changes", "crop_px", "expected"),
    [
        ({"epochs": 16, "grows_epochs": (11, 13)}, 192, [160] * 12 + [192] * 4),  # ffcv-imagenet's
        ({"epochs": 88, "grows_epochs": (65, 76)}, 192, [160] * 71 + [192] * 17),  # theirs: 174.5 is nearer to 160
        ({"epochs": 16, "grows_epochs": (11, 13)}, 80, [67] * 12 + [80] * 4),
        ({"epochs": 6, "grows_epochs": (0, 4), "grows_px": (96, 224)}, 224, [96, 128, 160, 192, 224, 224]),
        ({"epochs": 5, "grows_epochs": (1, 4), "grows_px": (100, 130)}, 130, [100, 100, 100, 128, 130]),
        ({"epochs": 5, "grows_epochs": (0, 4), "grows_px": (16, 32), "grows_by_px": 8}, 32, [16, 16, 24, 32, 32]),
        ({"epochs": 3, "grows_px": None, "grows_epochs": (11, 13)}, 192, [192] * 3),
    ],
)
def test_crops_grow_from_epoch_to_epoch(changes, crop_px, expected):
    assert sides(Recipe(**GROWS | changes), crop_px) == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 8, "grows_epochs": (11, 13)}, r"grows_epochs = \[11, 13\] must rise, and end below epochs = 8"),
        ({"epochs": 16, "grows_epochs": (13, 11)}, "must rise"),
        ({"epochs": 16, "grows_epochs": (11, 13), "grows_px": (192, 160)}, r"grows_px = \[192, 160\]"),
        ({"epochs": 16}, "grows_px goes with epochs and grows_epochs"),
        ({"iterations": 16, "grows_epochs": (11, 13)}, "grows_px goes with epochs and grows_epochs"),
    ],
)
def test_growth_that_would_not_end_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        Recipe(**GROWS | changes)


@pytest.mark.parametrize(
    ("dataset", "architecture", "expected"),
    [("imagenet", "resnet50", 192), ("digits", "resnet50", 80), ("imagenet", "resnet20_cifar", 32)],
)
def test_what_grows_is_tested_at_its_last_size(dataset, architecture, expected):
    data = {"path": "../ilsvrc"} if dataset == "imagenet" else {}
    book = {"dataset": dataset, "data": data, "architectures": [architecture], "recipe": "fast"}
    (run,) = expand(Params(**book, protocols=["single_crop"]))
    assert run.spec.crop_px == expected


@pytest.mark.parametrize("name", ["alexnet", "alexnet_two_gpu", "zfnet", "vgg_d", "googlenet", "levit_256"])
def test_fast_has_one_size_for_networks_that_know_one(name):
    (run,) = expand(Params(dataset="flowers102", architectures=[name], recipe="fast", protocols=["single_crop"]))
    assert sides(run.spec.recipe, run.spec.crop_px) == [registry.input_px(name)] * 16
