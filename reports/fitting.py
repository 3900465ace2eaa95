"""Keeps each page under 2 MB: what is too much for one lies beside it."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.records.loading import RecordError

MOST_BYTES = 2_000_000
# How many rows a table may have, and whether large figures stand in files of their own: the first
# of these under which the page is small enough.
LIMITS = ((1000, False), (400, False), (150, False), (150, True), (60, True), (20, True))
LARGE_FIGURE = 20_000


class TooLarge(RecordError):
    """A page that is beyond the limit however much is left out."""


def fitted(render: Callable[[int, bool], str], name: str) -> str:
    """The page, with as much in it as there is room for. ``render`` takes a limit of `LIMITS`;
    ``name`` is the page's in an error. Raises `TooLarge`."""
    size = 0
    for rows, apart in LIMITS:
        text = render(rows, apart)
        size = len(text.encode())
        if size <= MOST_BYTES:
            return text
    raise TooLarge(f"{name}: expected at most {MOST_BYTES:,} bytes; it takes {size:,}")
