"""Wrong kernels, planted one at a time: every one must turn a test red.

``python -m tests.mutants`` (``make mutants``) runs them in Triton's interpreter. The mutants
themselves are data: a loss's in ``tests/mutants.toml`` of its folder, those of shared kernels in
the TOML files of this folder. `declared` says what a mutant is made of.
"""
