"""Names that other projects give to keys of params.yaml, and keys of its sections, for the hint in an error."""

from collections.abc import Iterable, Mapping

_BY_KEY = {
    "dataset": "data_set datasets",
    "architectures": "architecture arch archs model models network networks net backbone",
    "recipe": "recipes config",
    "weights": "pretrained checkpoint checkpoints",
    "training": "train train_cfg overrides hyperparameters hparams",
    "seeds": "seed random_seed random_state manual_seed",
    "protocols": "protocol test tests evaluation eval test_protocol test_protocols crops",
    "sweep": "grid search sweeps",
    "ensembles": "ensemble",
    "costs": "cost benchmark profile",
    "inspect": "inspection",
}
OF_DATA = {
    "path": "root dir folder data_dir data_path train_dir image_folder",
    "train_split": "train",
    "test_split": "val val_split test",
    "short_side_px": "size image_size img_size resize resize_px short_side",
    "encoding": "format",
    "jpeg_quality": "quality",
    "on_bad_image": "bad_images on_error",
    "exif_orientation": "exif",
}


def by_name(keys: Mapping[str, str]) -> dict[str, str]:
    """Other name -> key, of `key: "other names"`."""
    return {name: key for key, names in keys.items() for name in names.split()}


def of_params(data: Iterable[str], recipe: Iterable[str], recipe_synonyms: Mapping[str, str]) -> dict[str, str]:
    """Other names of the keys of params.yaml, and the keys of `data:` and `training:` that stand there by mistake."""
    deeper = {name: f"training: {{{key}: ...}}" for name, key in recipe_synonyms.items()}
    deeper |= {key: f"training: {{{key}: ...}}" for key in recipe} | {key: f"data: {{{key}: ...}}" for key in data}
    return deeper | by_name(_BY_KEY)
