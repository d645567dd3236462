"""Choices of the machine that trains a run."""

from dataclasses import dataclass


@dataclass
class Machine:
    """Choices of the machine, as checkpoints and run.json keep them, and how often the training was resumed."""

    processes: int  # over all nodes
    threads: int  # of each process
    precision: str
    loader: str
    gpus: int
    accumulate: int
    device: str
    resumed: int
    compile: str = "off"  # becomes "off" where compiling fails
