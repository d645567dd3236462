"""Entry points, one a rule: python -m ilsvrc.stages.<name>."""
