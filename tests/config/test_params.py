"""params.yaml: what it may hold, and what a person reads when it holds something else."""

import pytest

from ilsvrc.config.params import Data, Params
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.recipe_files import resolve_recipe
from ilsvrc.config.recipe_synonyms import SYNONYMS
from ilsvrc.config.schema import parse, read_yaml
from ilsvrc.pipeline import wiring

BOOK = {
    "dataset": "digits",
    "architectures": ["alexnet", "resnet18"],
    "recipe": "quick",
    "protocols": ["single_crop"],
}


def message(**changes) -> str:
    with pytest.raises(ValueError) as error:
        parse(Params, {**BOOK, **changes}, where="params.yaml")
    return str(error.value)


def test_unknown_key_is_named_with_the_keys_there_are():
    assert "params.yaml: architecture is not a key; did you mean architectures?" in message(architecture=["alexnet"])


def test_unknown_key_of_a_section_is_named_with_its_place():
    text = message(data={"short_side": 256})
    assert "data.short_side is not a key; did you mean short_side_px?" in text


def test_unknown_names_list_the_valid_ones():
    assert "no architecture is called 'alexnett'; nearest: alexnet" in message(architectures=["alexnett"])
    assert "no test protocol is called 'centre'; there are: flip, googlenet_144_crop, " in message(protocols=["centre"])
    assert "no data set is called 'imagnet'; there are: cifar10, cifar100, digits" in message(dataset="imagnet")
    assert "no recipe is called 'resnett'; nearest: resnet" in message(recipe="resnett")
    assert "or paper, each architecture's own" in message(recipe="paperr")


def test_unknown_recipe_key_is_named_in_training_and_in_sweep():
    assert "not 'learning_rat'; did you mean learning_rate?" in message(training={"learning_rat": 1})
    assert "not 'epoch'; did you mean epochs?" in message(sweep={"epoch": [1]})


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("lr", "learning_rate"), ("ema", "averaging"), ("wd", "weight_decay"), ("patience", "plateau_epochs"),
        ("agc", "clip_adaptive"), ("random_resized_crop", "crop"), ("warmup", "warmup_epochs"), ("bs", "batch_size"),
        ("n_epochs", "epochs"), ("Label-Smoothing", "label_smoothing"), ("img_size", "crop_px"),
    ],
)  # fmt: skip
def test_a_key_by_another_projects_name_is_answered_with_ours(name, key):
    assert f"not {name!r}; did you mean {key}? (there are: revision" in message(training={name: 1})


def test_synonyms_are_no_keys_and_mean_keys():
    assert set(SYNONYMS.values()) <= set(Recipe.model_fields)
    assert not set(SYNONYMS) & set(Recipe.model_fields)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lr", "training: {learning_rate: ...}"), ("epochs", "training: {epochs: ...}"), ("model", "architectures"),
        ("seed", "seeds"), ("pretrained", "weights"), ("path", "data: {path: ...}"), ("Batch-Size", "training: {"),
    ],
)  # fmt: skip
def test_a_key_on_the_wrong_level_or_by_another_name_is_answered_with_where_it_stands(name, meant):
    assert f"params.yaml: {name} is not a key; did you mean {meant}" in message(**{name: 1})


def test_other_names_of_params_keys_are_no_keys_and_mean_keys():
    for model in (Params, Data):
        assert not set(model.SYNONYMS) & set(model.model_fields)
        assert {meant for meant in model.SYNONYMS.values() if ":" not in meant} <= set(model.model_fields)


def test_one_value_is_a_list_of_one():
    one = {
        "architectures": "alexnet",
        "seeds": 3,
        "protocols": "ten_crop",
        "costs": "float32",
        "sweep": {"momentum": 0.5},
    }
    lists = {"architectures": ["alexnet"], "seeds": [3], "protocols": ["ten_crop"], "costs": ["float32"]}
    listed = lists | {"sweep": {"momentum": [0.5]}}
    assert parse(Params, BOOK | one, "params.yaml") == parse(Params, BOOK | listed, "params.yaml")
    assert "architectures = True" in message(architectures=True)
    assert "no architecture is called 'alexnett'" in message(architectures="alexnett")


def test_one_milestone_is_a_list_of_one():
    by = {"schedule": "step", "step_epochs": 3}
    assert resolve_recipe("quick", "alexnet", by) == resolve_recipe("quick", "alexnet", by | {"step_epochs": [3]})


def test_a_warm_up_that_was_not_asked_for_gives_way_to_a_short_training():
    short = resolve_recipe("quick", "alexnet", {"epochs": 1})
    assert short == resolve_recipe("quick", "alexnet", {"epochs": 1, "warmup_epochs": 0})
    assert resolve_recipe("quick", "alexnet", {"epochs": 2}).warmup_epochs == 1
    text = message(training={"epochs": 1, "warmup_epochs": 1})
    assert "warmup_epochs = 1 must be below epochs = 1; lower it, to 0 for none" in text


def test_a_line_says_where_a_warm_up_gives_way_and_none_where_it_was_left_out_on_purpose():
    def lines(**changes):
        return wiring.read({**BOOK, **changes}, where="params.yaml").remarks

    (line,) = lines(training={"epochs": 1})
    assert line.startswith("recipe quick: its warm-up gives way to epochs: 1 (alexnet, resnet18); a shorter one")
    assert lines() == lines(training={"epochs": 1, "warmup_epochs": 0}) == lines(training={"epochs": 2}) == []


DOUBLED = {
    "seeds: [0]\nrecipe: quick\nseeds: [1]\n": "seeds stands twice, in lines 1 and 3; keep one of them",
    "training:\n  epochs: 1\n  epochs: 2\n": "training.epochs stands twice, in lines 2 and 3",
    "sweep: {lr: [1], 'lr': [2]}\n": "sweep.lr stands twice, in line 1",
    "weights:\n  resnet18:\n  - source: a\n    crop_px: 8\n    crop_px: 9\n": "weights.resnet18.crop_px stands twice",
    '{"seeds": [0],\n\t"seeds": [1]}': "seeds stands twice, in lines 1 and 2",
}


@pytest.mark.parametrize("text", DOUBLED)
def test_a_key_that_stands_twice_is_refused_with_both_lines_at_every_depth(tmp_path, text):
    (tmp_path / "book.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"book\.yaml: ") as error:
        read_yaml(tmp_path / "book.yaml")
    assert DOUBLED[text] in str(error.value)


def test_a_merged_mapping_may_be_overridden_and_named_by_several(tmp_path):
    (tmp_path / "book.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: *a\n")
    assert read_yaml(tmp_path / "book.yaml") == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 1, "y": 2}}


def test_what_is_no_yaml_is_named_with_its_line(tmp_path):
    (tmp_path / "book.yaml").write_text("seeds: [0\nrecipe: quick\n")
    with pytest.raises(ValueError, match=r"book\.yaml, line 2 is not YAML: "):
        read_yaml(tmp_path / "book.yaml")
    (tmp_path / "book.yaml").write_bytes("recipe: é\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"book\.yaml is not text in UTF-8"):
        read_yaml(tmp_path / "book.yaml")


def test_wrong_values_name_key_value_and_what_is_allowed():
    text = message(training={"optimizer": "adam"})
    assert "optimizer = 'adam': input should be 'sgd', 'rmsprop' or 'adamw'" in text
    assert "learning_rate = -1" in message(training={"learning_rate": -1})


def test_every_value_of_a_sweep_is_checked_not_only_the_first():
    assert "learning_rate = -1" in message(sweep={"learning_rate": [0.1, -1]})


def test_missing_key_is_named():
    with pytest.raises(ValueError, match=r"params\.yaml: dataset is missing"):
        parse(Params, {key: value for key, value in BOOK.items() if key != "dataset"}, where="params.yaml")


def test_a_key_cannot_be_fixed_and_swept():
    assert "in training or in sweep, not in both" in message(training={"epochs": 1}, sweep={"epochs": [1, 2]})


def test_data_sets_of_the_users_need_a_path_and_others_take_none():
    assert "dataset: folder needs data.path: a folder, a tar or zip archive, or a CSV" in message(dataset="folder")
    assert "dataset: imagenet needs data.path: a folder with ILSVRC2012_img_train.tar" in message(dataset="imagenet")
    assert "dataset: digits takes no data.path; images of your own are dataset: folder" in message(
        data={"path": "pictures"}
    )


def test_plateau_needs_a_validation_fraction():
    assert "set validation_fraction above 0" in message(training={"schedule": "plateau"})


def test_names_may_not_stand_twice():
    assert "twice" in message(architectures=["alexnet", "alexnet"])
    assert "twice" in message(seeds=[1, 1])


def test_an_empty_line_means_the_default():
    assert parse(Params, {**BOOK, "sweep": None, "data": None}, where="params.yaml") == Params(**BOOK)


def test_numbers_that_yaml_reads_as_text_are_numbers():
    recipe = resolve_recipe("quick", "alexnet", {"learning_rate": "1e-4"})
    assert recipe.learning_rate == 0.0001


def test_recipe_takes_the_architectures_own_lines_and_then_the_changes():
    plain = resolve_recipe("quick", "alexnet", {})
    own = resolve_recipe("quick", "googlenet", {})
    assert (plain.optimizer, own.optimizer) == ("sgd", "adamw")
    assert resolve_recipe("quick", "googlenet", {"optimizer": "sgd"}).optimizer == "sgd"


def test_recipe_refuses_steps_without_a_step_schedule():
    with pytest.raises(ValueError, match="go together"):
        parse(Recipe, {"epochs": 2, "batch_size": 4, "learning_rate": 1, "step_epochs": [1]}, where="recipe")


def test_a_quasi_random_order_needs_a_shuffled_file():
    quasi = {"training": {"order": "quasi_random"}}
    assert "packed with data: {order: shuffled}" in message(**quasi)
    parse(Params, {**BOOK, **quasi, "data": {"order": "shuffled"}}, where="params.yaml")
