"""weights.json: identity, input and classes of a run's weights, on which prediction depends. Never imports torch."""

from typing import ClassVar

from ilsvrc.artifacts.json_record import Name, RunRecord


class WeightsInfo(RunRecord):
    """Identity of `weights.safetensors`, with the input's size and normalization and the classes of the outputs."""

    noun: ClassVar[str] = "a run's weights.json"

    weights_sha256: str
    manifest_sha256: str  # of the packed split: of training, or of test where the weights are imported
    crop_px: int
    mean: list[float]  # of red, green and blue, 0 to 255
    std: list[float]
    normalization: str | None = None  # of imported weights; else the recipe says it
    classes: list[Name]  # by output
    num_classes: int
    label_sets_sha256: str | None = None  # of multi-label data

    @property
    def is_multilabel(self) -> bool:
        """True if each output has a sigmoid, since an image may have several classes."""
        return self.label_sets_sha256 is not None
