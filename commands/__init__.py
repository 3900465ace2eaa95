"""What is typed: the command line ``marginbench``, a file a command (``python -m commands``)."""

import suites  # noqa: F401  finds the library of this tree
