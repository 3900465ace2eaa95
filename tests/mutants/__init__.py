"""Wrong kernels, planted one at a time: every one must turn a test red.

``python -m tests.mutants`` (``make mutants``) runs them all in Triton's interpreter. The mutants
themselves are data, in the TOML files of this folder, one file for each group of kernels;
`declared` says what a mutant is made of.
"""
