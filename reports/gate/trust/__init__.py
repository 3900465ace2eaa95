"""How far the gate can be trusted: its own trial, read from the records that the trial left."""

# The record: what the site looks for without importing what reads it.
FILES = ("trust.jsonl", "trust.jsonl.xz")
