"""Tracking: runs and models in MLflow, data and results in DVC."""
