"""``marginbench quality``, a file a subcommand."""
