"""Watches every load and store of interpreted kernels: `benchmarks.sanitizer` as a fixture's body.

Only the interpreter can be watched; compiled kernels run as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import sanitizer
from marginbench.shared import launching


@contextmanager
def watched() -> Iterator[None]:
    """Inside, a launch raises `sanitizer.OutOfBounds` where it leaves its tensors."""
    if launching.INTERPRETED:
        with sanitizer.checked():
            yield
    else:
        yield
