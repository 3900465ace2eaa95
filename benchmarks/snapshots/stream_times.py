"""How long a kernel that only moves bytes should take on an H100: predicted, never measured.

bytes / (0.88 x the data sheet's bandwidth) + 4 us. Not fitted to kernels of this library: it was
within 15% of all 21 H100 rows that Liger-Kernel commits (``benchmark/data``) of its own elementwise
and reduction kernels that move 64 MB or more, and within 8% of 20 of them. On an A100 it is 6 to
36% off, on a B200 20 to 72%, so nothing is predicted there; nor of matrix products anywhere.
"""

from __future__ import annotations

from ..instruments import gpus

TARGET = "sm_90"
# The share of the bandwidth that streams reach, what each takes more, and the least that the rule
# was validated for.
SHARE, START_S, LEAST_BYTES = 0.88, 4e-6, 64_000_000


def predicted_s(moved: int) -> float | None:
    """Seconds for so many bytes, read and written; None where the rule was not validated."""
    if moved < LEAST_BYTES:
        return None
    return moved / (SHARE * gpus.TARGETS[TARGET].sheet.card.bytes_per_s) + START_S
