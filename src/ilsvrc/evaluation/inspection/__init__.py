"""Looks into trained networks: their first kernels, what they hold for alike, and what in a picture they look at."""
