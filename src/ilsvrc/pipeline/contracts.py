"""Contract of an architecture beside its builder: a recipe of its paper, and its counts."""

from ilsvrc.config import recipe_files, registry
from ilsvrc.models.common import reference_counts


def check_architecture(name: str) -> None:
    """Refuses an architecture that the tables and the report could not place.

    Raises:
        ValueError: no recipe names it, or a name that is listed has no row of counts; the message names the file.
    """
    listed = name in registry.names("models")
    if listed and name not in reference_counts.architectures():
        raise ValueError(
            f"{registry.file_of(name)}: {name} has no row in src/ilsvrc/models/common/reference_counts.csv; add its "
            f"parameters and multiply-adds, which `ilsvrc describe {name}` counts"
        )
    try:
        recipe_files.recipe_of_paper(name)
    except ValueError:
        raise ValueError(
            f"{registry.file_of(name)}: no recipe is of {name}'s paper; add {name} to paper_of in a recipe of "
            "src/ilsvrc/config/recipes"
        ) from None
