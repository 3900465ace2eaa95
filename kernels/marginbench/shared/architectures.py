"""The GPU architectures that the tables of tiles have, and which of them stands in for another."""

from __future__ import annotations

import functools
import re

# What tiles are chosen for where no GPU is there to ask: an H100, and its multiprocessors.
DEFAULT_ARCHITECTURE, DEFAULT_PROCESSORS = "sm_90", 132
# The architectures that the tiles of one serve, as a pattern. What stands in for a smaller card
# keeps to that card's shared memory, for a program that needs more does not launch: sm_80 for
# sm_86, sm_89 and sm_120. Tensor cores of 9.x, and of 10.x and 11.x, are their own; all others of
# NVIDIA's are served by sm_80: 12.x too, for it multiplies with sm_80's instructions and has 99 KiB
# of shared memory, as 8.6 and 8.9 have.
_SERVES = {"sm_90": r"sm_9\d", "sm_100": r"sm_1[01]\d", "gfx942": "gfx"}
_OTHERS = "sm_80"
KNOWN = (_OTHERS, *_SERVES)


@functools.cache
def nearest(architecture: str) -> str:
    """The one of `KNOWN` whose tiles serve an architecture (``sm_89``, ``gfx90a``, ...), whatever
    its name."""
    for name, served in _SERVES.items():
        if re.match(served, architecture):
            return name
    return _OTHERS
