"""Architectures, one family a file: each public function builds the network of its name."""
