"""The GPU architectures that the tables of tiles have, and which of them stands in for another.

Shared memory decides whether a tile can run at all: a program that needs more than an architecture
has does not launch. Sources: the compute capabilities table of NVIDIA's CUDA C++ Programming Guide
(the most that one block may ask for), AMD's CDNA 3 instruction set (local data share).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

# What tiles are chosen for where no GPU is there to ask.
DEFAULT_ARCHITECTURE = "sm_90"


@dataclass(frozen=True)
class Architecture:
    """``shared_bytes``: the most shared memory that one program can have. ``processors``: streaming
    multiprocessors (compute units) of its largest card, 0 for one that uses another's tiles.
    ``serves``: the names of the architectures that its tiles serve, as a pattern."""

    shared_bytes: int
    processors: int = 0
    serves: str = ""


# What stands in for a smaller card keeps to that card's shared memory: sm_80 for sm_86, sm_89 and
# sm_120. Tensor cores of 9.x, and of 10.x and 11.x, are their own; all others of NVIDIA's are
# served by sm_80: 12.x too, for it multiplies with sm_80's instructions and has 99 KiB of shared
# memory, as 8.6 and 8.9 have.
ARCHITECTURES = {
    "sm_80": Architecture(163 << 10, 108),  # A100
    "sm_86": Architecture(99 << 10),
    "sm_89": Architecture(99 << 10),
    "sm_90": Architecture(227 << 10, 132, r"sm_9\d"),  # H100
    "sm_100": Architecture(227 << 10, 148, r"sm_1[01]\d"),  # B200
    "sm_120": Architecture(99 << 10),
    "gfx942": Architecture(64 << 10, 304, "gfx"),  # MI300X
}
KNOWN = tuple(name for name, one in ARCHITECTURES.items() if one.processors)
_OTHERS = "sm_80"


@functools.cache
def nearest(architecture: str) -> str:
    """The one of `KNOWN` whose tiles serve an architecture (``sm_89``, ``gfx90a``, ...), whatever
    its name."""
    for name, one in ARCHITECTURES.items():
        if one.serves and re.match(one.serves, architecture):
            return name
    return _OTHERS


def processors(architecture: str) -> int:
    """How many its largest card has; 2 of one that is not `KNOWN`."""
    return ARCHITECTURES[architecture].processors if architecture in KNOWN else 2
