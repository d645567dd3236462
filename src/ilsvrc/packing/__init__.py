"""Packing: images into FFCV's binary format, with a manifest of statistics and checksums."""
