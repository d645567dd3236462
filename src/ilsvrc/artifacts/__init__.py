"""Files that stages leave each other: manifests, weights, runs, and where they lie."""
