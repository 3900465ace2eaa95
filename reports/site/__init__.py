"""The published site: every committed record as static pages that need neither network nor script.

`publish` writes it, `verify` works it out again and compares.
"""
