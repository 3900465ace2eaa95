"""How far the gate can be trusted: its own trial, read from the records that the trial left."""

# What the site looks for without importing what computes it: the record, and the page's figures.
FILES = ("trust.jsonl", "trust.jsonl.xz")
SUMMARY = "summary.json"
