"""The datasets, each a declaration in a file of its own that is found by itself."""
