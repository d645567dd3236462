"""Layers and properties that architectures share."""
