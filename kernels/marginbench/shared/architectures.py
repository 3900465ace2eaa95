"""Which architectures the tables of tiles have, and which of them stands in for another.

Shared memory decides whether a tile can run at all: a program that needs more than an architecture
has does not launch. Sources: the compute capabilities table of NVIDIA's CUDA C++ Programming Guide
(the most that one block may ask for), AMD's CDNA 3 instruction set (local data share).
"""

from __future__ import annotations

import functools
import re

# The most bytes of shared memory that one program can have. What stands in for a smaller card
# keeps to that card's: sm_80 for sm_86, sm_89 and sm_120.
SHARED_BYTES = {
    "sm_80": 163 << 10, "sm_86": 99 << 10, "sm_89": 99 << 10, "sm_90": 227 << 10,
    "sm_100": 227 << 10, "sm_120": 99 << 10, "gfx942": 64 << 10,
}  # fmt: skip
KNOWN = ("sm_80", "sm_90", "sm_100", "gfx942")


@functools.cache
def nearest(architecture: str) -> str:
    """The one of `KNOWN` whose tiles serve an architecture (``sm_89``, ``gfx90a``, ...).

    Every ``gfx`` is served by gfx942. Of NVIDIA's, 9.x by sm_90 and 10.x and 11.x by sm_100, whose
    tensor cores are their own; all others by sm_80: 12.x too, for it multiplies with sm_80's
    instructions and has 99 KiB of shared memory, as 8.6 and 8.9 have. So does what has a name of
    another kind.
    """
    if architecture.startswith("gfx"):
        return "gfx942"
    number = re.match(r"sm_(\d+)\d", architecture)
    major = int(number[1]) if number else 8
    return {9: "sm_90", 10: "sm_100", 11: "sm_100"}.get(major, "sm_80")
