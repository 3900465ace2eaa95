import suites  # noqa: F401  finds the library of this tree

from .root import main

main()
