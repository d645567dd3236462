"""Test protocols, one a file: the file's name is the protocol's name in params.yaml."""
