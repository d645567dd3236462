"""Evaluation: predictions by test protocols, metrics, scores and ensembles."""
