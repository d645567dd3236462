"""Artifacts: the typed files that stages write and others read, and their paths."""
