"""Compares two measurements of the same benchmarks: ``marginbench compare A.json B.json``.

A kind of file is a loader in `loading`; what is compared is the same for each.
"""
