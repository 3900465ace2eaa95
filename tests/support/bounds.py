"""Watches every load and store of interpreted kernels: `benchmarks.sanitizer.checked` in a fixture.

Only the interpreter can be watched; compiled kernels run as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.sanitizer import checked
from marginbench.shared import launching


@contextmanager
def watched() -> Iterator[None]:
    """Inside, a launch raises `checked.OutOfBounds` where it leaves its tensors."""
    if launching.INTERPRETED:
        with checked.checked():
            yield
    else:
        yield
