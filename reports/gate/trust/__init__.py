"""How far the gate can be trusted: its own trial, read from the records that the trial left."""

# Beside the page: the figures, which the site reads without what computes them.
SUMMARY = "summary.json"
