"""Configuration: params.yaml, recipes, specifications and the names of runs. Never imports torch."""
