"""How the cases are measured: instruments, the session that runs them, and the records."""

import suites  # noqa: F401  finds the library of this tree
