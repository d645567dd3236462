"""Preflight checks of a recipe, before hours of training are spent."""
