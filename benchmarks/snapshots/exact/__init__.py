"""The exact half of the gate: what a change may not alter unnoticed, compared without tolerance.

Bytes, allocations, operators, kernel launches, whether a contender agrees with the reference, and
how memory grows. None of it depends on the machine, so a difference means that the code changed. In
either direction it fails until it is pinned again, in the same change.
"""
