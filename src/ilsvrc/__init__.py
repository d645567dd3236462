"""The landmark image classifiers, from the raw archive to the paper's own table."""

__version__ = "0.1.0"
