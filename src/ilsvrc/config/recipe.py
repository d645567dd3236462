"""A recipe, typed: how one network is trained. Never imports torch."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ilsvrc.config import choices
from ilsvrc.config.recipe_synonyms import SYNONYMS
from ilsvrc.config.schema import Fraction, Positive, Section

Side = Annotated[int, Field(ge=8)]  # of a square, in pixels
ByLayer = dict[str, Annotated[float, Field(ge=0)]]


class Recipe(Section):
    """Recipe of a training, one flat line a choice. A choice of the machine is not in here.

    Lengths are epochs or iterations (steps); where both are offered, one of them is given.
    """

    SYNONYMS: ClassVar[Mapping[str, str]] = SYNONYMS

    revision: Positive = 1

    # length and batches
    epochs: Positive | None = None
    iterations: Positive | None = None
    batch_size: Positive  # images a step, over all processes
    reference_batch_size: Positive | None = None  # the learning rates are for this batch_size; others scale linearly
    order: choices.ImageOrder = "random"  # quasi_random: long reads, for data larger than memory
    repeats: Positive = 1  # repeated augmentation: how many times a batch shows an image
    validation_fraction: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # of the training split, held out
    monitor: Literal["validation", "test"] = "validation"  # test: as a paper did; the report says so
    report_epoch: Literal["last", "best"] = "last"  # best: the epoch with the lowest error on held-out images

    # loss
    label_smoothing: Fraction = 0.0
    mixup: float = Field(0.0, ge=0)  # alpha of the Beta distribution; 0: none
    cutmix: float = Field(0.0, ge=0)  # with both, each batch draws one of them
    teacher: str | None = None  # the architecture whose run of `teacher_recipe` is distilled; or pretrained weights
    teacher_recipe: str | None = None  # None: this recipe, without its teacher
    distillation: choices.Distillation = "soft"
    temperature: float = Field(1.0, gt=0)
    distillation_weight: Annotated[float, Field(ge=0, le=1)] = 0.5

    # steps
    optimizer: choices.Optimizer = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: Fraction = 0.9
    nesterov: bool = False
    rate_in_momentum: bool = False  # v <- momentum v + rate g; else the rate multiplies v
    square_momentum: Fraction | None = None  # of RMSProp's and AdamW's mean squares; None: 0.9 and 0.999
    epsilon: float | None = Field(None, gt=0)  # RMSProp: inside the root; None: 1.0 and 1e-8
    weight_decay: float = Field(0.0, ge=0)
    decay: choices.Decay = "all"  # weights: not biases, not normalisation
    layer_decays: ByLayer = Field({})  # layers' own weight_decay, by name or type: {conv*: 0, Linear: 0.01}
    layer_rates: ByLayer = Field({})  # layers' learning rates in units of the others'
    bias_rate: float = Field(1.0, ge=0)  # of biases but normalisation's, in units of the weights'
    clip_norm: float | None = Field(None, gt=0)
    clip_adaptive: float | None = Field(None, gt=0)  # of each unit's weights' norm (Brock et al. 2021)
    largest_filter_rms: float | None = Field(None, gt=0)  # convolutions' filters are scaled down to it

    # learning rates
    schedule: choices.Schedule = "cosine"
    warmup_epochs: float = Field(0.0, ge=0)
    warmup_iterations: int = Field(0, ge=0)
    warmup_rate: float | None = Field(None, gt=0)  # constant; None: rises linearly
    warmup_from: float | None = Field(None, ge=0)  # where it begins to rise; None: a step's part above 0
    lowest_rate: float = Field(0.0, ge=0)  # the end of cosine, linear and polynomial, and the least of others
    step_epochs: tuple[Positive, ...] = ()  # step: where the learning rate falls
    step_iterations: tuple[Positive, ...] = ()
    decay_epochs: float | None = Field(None, gt=0)  # exponential: how far apart the falls are
    decay_iterations: Positive | None = None
    decay_factor: float = Field(0.1, gt=0, lt=1)  # step, plateau, exponential: the factor of a fall
    power: float = Field(1.0, gt=0)  # polynomial: of the share of steps that is left
    plateau_epochs: Positive = 5  # plateau: epochs without a better error before it falls
    most_falls: Positive | None = None  # plateau: training ends at the one after

    # the network
    initialization: choices.Initialization = "paper"
    start_from: str | None = None  # an architecture, whose run of `start_recipe` is a dependency; or a file of weights
    start_recipe: str | None = None  # None: this recipe
    start_layers: choices.StartLayers = "but_classifier"  # layers that are taken over
    trained_layers: choices.TrainedLayers | Positive = "all"  # a number: the last stages, beside the classifier
    trunk_rate: float = Field(1.0, ge=0)  # learning rate of layers that were taken over, in units of the classifier's
    zero_last_gamma: bool = False  # residual branches begin as zero (Goyal et al. 2017)
    dropout: Fraction | None = None  # None: the paper's
    drop_path: Fraction | None = None
    batch_norm_group: Positive | choices.BatchStatistics | None = (
        None  # images that share statistics; None: a process's
    )
    batch_norm_recomputed_over: Positive | None = None  # training images whose plain mean replaces running statistics
    averaging: Literal["none", choices.Averaging] = "none"  # of the weights that are tested
    averaging_decay: Fraction = 0.9999  # exponential: a step
    averaging_from_epoch: int = Field(0, ge=0)
    precision: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto"

    # images
    crop: choices.Crop = "patch"
    crop_px: Side | None = None  # None: the data card's, else the last that it grows to, else the paper's input
    grows_px: tuple[Side, Side] | None = None  # crops' first and last side, in proportion to the run's crop_px
    grows_epochs: tuple[Annotated[int, Field(ge=0)], Positive] | None = None  # that are done where it begins and ends
    grows_by_px: Positive = 32  # on the way sides are multiples of it
    short_side_px: tuple[Positive, Positive] | None = None  # sizes before; a recipe's go with crop_px; None: 8/7 crop
    area: tuple[float, float] = (0.08, 1.0)  # area_aspect: of the image
    aspect: tuple[float, float] = (0.75, 1.3333333333333333)
    aspect_draw: choices.AspectDraw = "log_uniform"
    swap_aspect: bool = False  # width and height change places in half of the draws (fb.resnet.torch)
    padding_px: Positive = 4  # padding: on each side
    padding: choices.Padding = "zero"  # zero: after normalization
    interpolation: Literal[choices.Interpolation, "random"] = "bilinear"  # random: one of these, area, nearest
    flip: bool = True
    lighting: float = Field(0.0, ge=0)  # deviation of each principal component's factor (Krizhevsky et al. 2012)
    lighting_unit: choices.LightingUnit = "deviation"  # variance: eigenvalues of pixels from 0 to 1
    brightness: Fraction = 0.0  # factor from 1 - x to 1 + x
    contrast: Fraction = 0.0
    saturation: Fraction = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # turns
    rand_augment: float = Field(0.0, ge=0, le=10)  # magnitude of two drawn operations; 0: none
    erasing: Fraction = 0.0  # probability of a rectangle of noise
    normalization: Literal[choices.NetworksNormalization, "mean_image", "gcn_zca"] = "mean_std"

    @model_validator(mode="after")
    def _schedule_has_what_it_needs(self) -> "Recipe":
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("give epochs or iterations, one of them")
        for name in ("warmup", "step", "decay"):
            if getattr(self, f"{name}_epochs") and getattr(self, f"{name}_iterations"):
                raise ValueError(f"give {name}_epochs or {name}_iterations, one of them")
        warms_up = bool(self.warmup_epochs or self.warmup_iterations)
        if self.warmup_from is not None and (self.warmup_rate is not None or not warms_up):
            raise ValueError(
                "warmup_from wants warmup_epochs or warmup_iterations, and no warmup_rate, which is constant"
            )
        if self.schedule == "plateau" and self.validation_fraction == 0 and self.monitor == "validation":
            raise ValueError(
                "schedule: plateau watches a validation error; set validation_fraction above 0, or monitor: test where "
                "the paper watched its test images"
            )
        if (self.schedule == "step") != bool(self.step_epochs or self.step_iterations):
            raise ValueError("schedule: step and step_epochs: [...] (or step_iterations) go together")
        if (self.schedule == "exponential") != bool(self.decay_epochs or self.decay_iterations):
            raise ValueError("schedule: exponential and decay_epochs (or decay_iterations) go together")
        if self.epochs is not None and self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs:g} must be below epochs = {self.epochs}; lower it, to 0 for none"
            )
        return self

    @model_validator(mode="after")
    def _says_what_it_tests(self) -> "Recipe":
        if self.validation_fraction and self.monitor == "test":
            raise ValueError(
                "monitor: test watches the test images, validation_fraction held-out ones; set monitor: validation, or "
                "validation_fraction: 0"
            )
        if self.report_epoch == "best" and not self.validation_fraction:
            raise ValueError(
                "report_epoch: best chooses an epoch by its validation error, and the test images may not choose it; "
                "set validation_fraction above 0, or report_epoch: last"
            )
        if self.averaging != "none" and self.epochs is not None and self.averaging_from_epoch >= self.epochs:
            raise ValueError(
                f"averaging_from_epoch = {self.averaging_from_epoch} must be below epochs = {self.epochs}, or "
                "averaging: none"
            )
        return self

    @model_validator(mode="after")
    def _grows_within_its_length(self) -> "Recipe":
        if self.grows_px is None:
            return self
        if self.grows_epochs is None or self.epochs is None:
            raise ValueError("grows_px goes with epochs and grows_epochs: [first, last]; grows_px: null has one size")
        (first, last), (start, end) = self.grows_px, self.grows_epochs
        if not (first < last and start < end < self.epochs):
            raise ValueError(
                f"grows_px = [{first}, {last}] and grows_epochs = [{start}, {end}] must rise, and end below epochs = "
                f"{self.epochs}; set them, or grows_px: null for one size"
            )
        return self

    @model_validator(mode="after")
    def _choices_fit_each_other(self) -> "Recipe":
        if self.repeats > 1 and self.batch_size % self.repeats:
            raise ValueError(f"batch_size = {self.batch_size} is not a multiple of repeats = {self.repeats}")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov: true wants optimizer: sgd with a momentum")
        if self.teacher is None and self.teacher_recipe is not None:
            raise ValueError("teacher_recipe without a teacher; name its architecture: teacher: ...")
        if self.teacher and is_file(self.teacher) and self.teacher_recipe:
            raise ValueError(f"teacher: {self.teacher} are pretrained weights, which have no teacher_recipe")
        if self.start_from and is_file(self.start_from) and self.start_recipe:
            raise ValueError(f"start_from: {self.start_from} is a file of weights, which has no start_recipe")
        beginning = (self.start_recipe, self.trained_layers, self.trunk_rate)
        if self.start_from is None and beginning != (None, "all", 1.0):
            raise ValueError("start_recipe, trained_layers and trunk_rate go with start_from")
        return self

    def crop_px_in(self, epoch: int, crop_px: int) -> int:
        """The side of crops in an epoch (from 0) of a training whose last crops are `crop_px`.

        Linear between the epochs of `grows_epochs`, to the nearest multiple of `grows_by_px` (ffcv-imagenet's rule).
        """
        if self.grows_px is None or self.grows_epochs is None:
            return crop_px
        (first, last), (start, end) = self.grows_px, self.grows_epochs
        part = min(1.0, max(0.0, (epoch - start) / (end - start)))
        side = first + (last - first) * part
        if 0 < part < 1:
            side = min(last, max(first, round(side / self.grows_by_px) * self.grows_by_px))
        return round(side * crop_px / last)


def is_file(start_from: str) -> bool:
    """True if `start_from` is a path, not an architecture."""
    return "/" in start_from or "." in start_from
