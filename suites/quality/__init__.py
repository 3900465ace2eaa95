"""Training quality, as data: what is trained, on what, how, and how a division is searched."""
