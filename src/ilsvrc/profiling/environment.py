"""Environment variables of a measurement: a training's allocator settings, a quiet profiler. Never imports torch."""

from ilsvrc.training.launch import ENVIRONMENT

# The profiler, which counts memory, keeps its remarks to itself.
MEASURED_WITH = {k: v for k, v in ENVIRONMENT.items() if k.startswith("MALLOC")} | {"KINETO_LOG_LEVEL": "99"}
