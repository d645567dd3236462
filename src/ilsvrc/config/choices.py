"""Choices of a recipe, each stated once: recipes are validated against them, and mechanisms cover every one of them.

Mechanisms see no configuration but these names.
"""

from typing import Literal

AspectDraw = Literal["log_uniform", "uniform"]
Averaging = Literal["exponential", "polyak"]
BatchStatistics = Literal["batch"]  # batch norm over the whole batch, whatever the processes
Crop = Literal["patch", "rectangle", "area_aspect", "padding", "center"]
Decay = Literal["weights", "all"]
Distillation = Literal["soft", "hard"]
Initialization = Literal["paper", "he_normal", "glorot"]
ImageOrder = Literal["random", "quasi_random"]
Interpolation = Literal["bilinear", "cubic"]
LightingUnit = Literal["deviation", "variance"]
NetworksNormalization = Literal["mean_std", "mean", "unit", "none"]  # what weights may come with; recipes have more
Optimizer = Literal["sgd", "rmsprop", "adamw"]
Padding = Literal["zero", "reflect"]
Schedule = Literal["constant", "step", "plateau", "exponential", "polynomial", "linear", "cosine"]
StartLayers = Literal["all", "but_classifier", "vgg"]
TrainedLayers = Literal["all", "classifier"]
