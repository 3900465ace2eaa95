"""How the cases are measured: instruments, the session that runs them, and the records."""
