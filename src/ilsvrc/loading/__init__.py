"""Packed data: writing, checking, decoding and batching. The only home of ffcv."""
