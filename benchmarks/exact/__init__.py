"""The exact half of the gate: what a change may not move unseen, compared without a tolerance.

Bytes, allocations, operators, kernel launches, whether a contender agrees with the reference, and
how memory grows. None of it depends on the machine, so a difference is a change of the code, and in
either direction it fails until it is pinned again, in the same change.
"""
