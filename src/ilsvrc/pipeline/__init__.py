"""The pipeline as a whole: what the Snakefile wires, verification and pruning."""
