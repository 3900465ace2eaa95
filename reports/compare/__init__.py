"""Compares measurements: ``marginbench compare A B``.

`loading` reads pytest-benchmark's files and `runs` our records; `sides` says what a word stands
for; `ratios` judges times by the spread between processes, `shift` says what they all moved by,
`contenders` judges inside one process, `exact` what is no time; `benchmark_files` and `across`
bring them together, `page` writes it down.
"""
