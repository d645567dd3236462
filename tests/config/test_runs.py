"""Runs, their specifications and their keys."""

import json

import pytest

from ilsvrc.config import packed_formats, pretrained, runs, specs
from ilsvrc.config.params import Params
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.recipe_files import resolve_recipe
from ilsvrc.pipeline import wiring

BOOK = {
    "dataset": "digits",
    "architectures": ["alexnet", "resnet18"],
    "recipe": "quick",
    "protocols": ["single_crop"],
}


def names(**changes) -> list[str]:
    return [run.name for run in runs.expand(Params(**{**BOOK, **changes}))]


def test_runs_are_architectures_times_sweep_points_times_seeds():
    assert len(names()) == 2
    assert len(names(seeds=[0, 1, 2], sweep={"epochs": [2, 3], "flip": [True, False]})) == 2 * 3 * 4


def test_a_runs_folder_tells_what_differs_from_the_recipe():
    (name,) = names(architectures=["alexnet"], training={"epochs": 2, "learning_rate": 0.5}, seeds=[7])
    assert name.startswith("digits/alexnet/quick,epochs=2,learning_rate=0.5/seed=7-")


@pytest.mark.parametrize("spelling", ["1e-4", "1.0e-4", "0.0001", 0.0001])
def test_spellings_of_a_number_are_one_run(spelling):
    assert names(training={"learning_rate": spelling}) == names(training={"learning_rate": 1e-4})


def test_stating_the_recipes_own_value_changes_no_run():
    epochs = resolve_recipe("quick", "resnet18", {}).epochs
    assert names(architectures=["resnet18"], training={"epochs": epochs}) == names(architectures=["resnet18"])


def test_sweeping_over_the_present_value_keeps_its_run():
    assert set(names()) <= set(names(sweep={"label_smoothing": [0, 0.1]}))


def test_protocols_and_other_runs_change_no_key():
    assert set(names(protocols=["ten_crop"], architectures=["alexnet"], seeds=[0, 1])) > set(
        names(architectures=["alexnet"])
    )


def test_specification_leaves_out_defaults_and_survives_a_round_trip():
    spec = runs.expand(Params(**BOOK))[0].spec
    text = specs.specification(spec)
    assert "label_smoothing" not in text
    assert specs.parse_specification(specs.TrainSpec, text) == spec
    assert json.loads(text)["crop_px"] == 80


def test_crop_is_the_recipes_else_the_cards_else_the_papers():
    def crop(**changes):
        return runs.expand(Params(**{**BOOK, "architectures": ["alexnet"], **changes}))[0].spec.crop_px

    assert crop(training={"crop_px": 96}) == 96
    assert crop() == 80
    assert crop(dataset="folder", data={"path": "somewhere/flowers.tar"}) == 227


def test_a_folder_is_named_by_its_archive_unless_the_user_names_it():
    def label(**data):
        return packed_formats.data_label(Params(**{**BOOK, "dataset": "folder", "data": data}))

    assert label(path="/somewhere/flowers17.tar") == "flowers17"
    assert label(path="/somewhere/pictures/") == "pictures"
    assert label(path="/somewhere/flowers17.tar", name="flowers") == "flowers"
    assert label(path="/somewhere/my Bl\u00fcten, 2") == "my Bl\u00fcten, 2"
    assert label(path="/somewhere/flowers {v2}") == "flowers _v2_"
    assert label(path="/somewhere/Schl\udcfcssel") == "Schl_ssel"
    for path in ("/", ".pictures", "x" * 201):
        with pytest.raises(ValueError, match=r"data\.path = .* give the images a name by data\.name"):
            label(path=path)


def test_imagenet_keeps_its_name_wherever_it_is():
    assert (
        packed_formats.data_label(Params(**{**BOOK, "dataset": "imagenet", "data": {"path": "/somewhere/ilsvrc"}}))
        == "imagenet"
    )


def test_a_folder_called_like_a_data_set_must_be_named():
    with pytest.raises(ValueError, match=r"digits is a data set of its own.*data\.name"):
        names(dataset="folder", data={"path": "/somewhere/digits.tar"})


def test_moving_the_pictures_changes_no_run():
    here = names(dataset="folder", data={"path": "here/flowers17.tar"})
    assert here == names(dataset="folder", data={"path": "there/flowers17.tar"})


def test_packed_form_is_named_readably():
    form = packed_formats.form_spec(Params(**BOOK))
    assert packed_formats.form_name(form).startswith("short_side=91,raw-")


def form_of(**data: object) -> specs.FormSpec:
    return packed_formats.form_spec(Params(**BOOK | {"data": data}))


def test_how_far_pictures_are_checked_renames_a_form_only_where_it_changes_the_manifest():
    plain = packed_formats.form_name(form_of(encoding="jpeg"))
    assert packed_formats.form_name(form_of(encoding="jpeg", verify="decode")) == plain
    assert packed_formats.form_name(form_of(encoding="jpeg", verify="full")) == plain
    assert packed_formats.form_name(form_of(encoding="jpeg", verify="structure")) != plain


def test_raw_pictures_are_decoded_whatever_is_asked_for():
    assert form_of(encoding="raw", verify="structure") == form_of(encoding="raw")


def test_test_images_can_have_a_form_of_their_own_that_changes_no_run():
    plain = Params(**BOOK | {"data": {"encoding": "jpeg", "short_side_px": 40}})
    apart = Params(**BOOK | {"data": {**plain.data.model_dump(), "test_form": {"short_side_px": "original"}}})
    assert packed_formats.requested_forms(plain) == [packed_formats.form_spec(plain)]
    train, test = packed_formats.requested_forms(apart)
    assert (train.short_side_px, test.short_side_px) == (40, None)
    assert test.encoding == "jpeg"
    assert [run.name for run in runs.expand(apart)] == [run.name for run in runs.expand(plain)]
    assert packed_formats.source_spec(apart) == packed_formats.source_spec(plain)


def test_original_sizes_can_replace_the_cards(monkeypatch):
    assert form_of(short_side_px="original").short_side_px is None
    assert form_of().short_side_px == 91


def test_packing_is_told_to_compare_only_where_that_is_asked_for():
    full, plain = (
        packed_formats.pack_spec(book := Params(**BOOK | {"data": {"verify": how}}), packed_formats.form_spec(book))
        for how in ("full", "decode")
    )
    assert specs.specification(full) == specs.specification(plain)[:-1].replace("{", '{"compare":true,', 1) + "}"
    assert specs.specification(plain) == specs.specification(packed_formats.form_spec(Params(**BOOK)))


def test_a_teachers_run_goes_before_and_is_part_of_the_specification():
    book = Params(**BOOK | {"architectures": ["resnet18"], "training": {"teacher": "resnet34", "epochs": 2}})
    (run,) = runs.expand(book)
    teacher, same = runs.with_dependencies([run])
    assert (same, teacher.spec) == (run, run.spec.teacher)
    assert (teacher.spec.architecture, teacher.spec.recipe.teacher, teacher.spec.recipe.epochs) == ("resnet34", None, 2)
    assert (
        teacher.name == runs.expand(Params(**BOOK | {"architectures": ["resnet34"], "training": {"epochs": 2}}))[0].name
    )


def test_each_seed_has_a_teacher_of_its_own_and_a_sweep_shares_one():
    book = {**BOOK, "architectures": ["resnet18"], "training": {"teacher": "resnet34"}, "seeds": [3, 4]}
    named = runs.expand(Params(**book, sweep={"temperature": [1.0, 20.0]}))
    teachers = {run.teacher.name for run in named}
    assert (len(named), len(teachers)) == (4, 2)


def test_a_run_can_go_on_from_its_architectures_plain_run():
    book = Params(**BOOK | {"architectures": ["resnet18"], "training": {"start_from": "resnet18"}})
    (run,) = runs.expand(book)
    assert (run.start.spec.recipe.start_from, run.start.spec.architecture) == (None, "resnet18")


def test_a_run_that_would_need_its_own_weights_is_refused(monkeypatch):
    from_itself = {"epochs": 2, "batch_size": 4, "learning_rate": 1, "start_from": "resnet18"}
    monkeypatch.setattr(runs, "resolve_recipe", lambda *given: Recipe(**from_itself))
    with pytest.raises(ValueError, match="resnet18 by recipe quick would need its own weights"):
        runs.expand(Params(**BOOK | {"architectures": ["resnet18"]}))


def test_a_file_that_a_run_starts_from_counts_by_its_content(tmp_path):
    def started() -> runs.Run:
        pretrained.file_sha256.cache_clear()
        training = {"start_from": f"{tmp_path}/weights.pt"}
        return runs.expand(Params(**BOOK | {"architectures": ["resnet18"], "training": training}))[0]

    with pytest.raises(ValueError, match="cannot be read"):
        started()
    (tmp_path / "weights.pt").write_bytes(b"one")
    one = started()
    (tmp_path / "weights.pt").write_bytes(b"two")
    assert started().name != one.name


def test_layers_of_their_own_are_readable_in_a_folder_and_part_of_the_key():
    decays = {"conv*": 0, "local[34]": 0.004}
    (name,) = names(architectures=["alexnet"], training={"layer_decays": decays})
    assert name.startswith("digits/alexnet/quick,layer_decays=conv_0-local34_0.004/seed=0-")
    (spec,) = [run.spec for run in runs.expand(Params(**BOOK | {"architectures": ["alexnet"]}))]
    assert "layer" not in specs.specification(spec)
    changed = runs.expand(Params(**BOOK | {"training": {"layer_decays": decays}}))[0].spec
    assert specs.parse_specification(specs.TrainSpec, specs.specification(changed)) == changed


def test_layers_are_named_in_the_order_of_params_yaml():
    """Another order would be another folder, and the training would be done again."""
    found = names(training={"layer_rates": {"fc*": 10, "conv*": 0.5}})
    assert all("layer_rates=fc_10-conv_0.5" in name for name in found)


def test_the_longest_training_begins_first():
    flow = wiring.Pipeline(
        Params(**BOOK | {"architectures": ["alexnet", "resnet18", "googlenet"], "training": {"epochs": 2}})
    )
    priorities = {name.split("/")[1]: rank for name, rank in flow.training_priorities.items()}
    assert priorities == {"alexnet": 1, "googlenet": 2, "resnet18": 3}  # 0.7, 1.6 and 1.8 billion multiply-adds
