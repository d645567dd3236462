"""Choices of a recipe, each stated once: recipes are validated against them, and mechanisms cover every one of them.

Mechanisms see no configuration but these names.
"""

from typing import Literal

Averaging = Literal["exponential", "polyak"]
Decay = Literal["weights", "all"]
Distillation = Literal["soft", "hard"]
Initialization = Literal["paper", "he_normal", "glorot"]
LightingUnit = Literal["deviation", "variance"]
Optimizer = Literal["sgd", "rmsprop", "adamw"]
Schedule = Literal["constant", "step", "plateau", "exponential", "polynomial", "linear", "cosine"]
StartLayers = Literal["all", "but_classifier", "vgg"]
TrainedLayers = Literal["all", "classifier"]
