"""Named kinds of difficult data, on which every loss is checked as on ordinary data.

The table alone, without torch: `stress_batches` draws them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .loss import DTYPES, Shape

if TYPE_CHECKING:
    from .inputs import Batch
    from .loss import Variant

# What holds a thousandth of a number's size without losing it, and what reaches 1e30 and 1e-30.
_FINE = ("float32", "float64")
_WIDE = ("float32", "bfloat16", "float64")
_EVERY_FAMILY = ("head", "batch", "rows")
_HEAD = ("head",)


@dataclass(frozen=True)
class Kind:
    """A kind of data: ``draws`` names its function in `stress_batches`, which ``options`` are
    handed to; ``dtypes`` are those that can hold it, ``families`` the variants' families in which
    it is more than ordinary data. The exact derivative by an argument in ``flat`` is 0 on it, so
    that no relative error exists: variants that learn one are not tried."""

    name: str
    summary: str
    draws: str
    options: tuple[float, ...] = ()
    dtypes: tuple[str, ...] = DTYPES
    families: tuple[str, ...] = _EVERY_FAMILY
    flat: tuple[str, ...] = ()

    def suits(self, variant: Variant, dtype: str) -> bool:
        learns_flat = any(name in variant.differentiable for name in self.flat)
        return variant.family in self.families and dtype in self.dtypes and not learns_flat

    def make(self, shape: Shape, seed: int, unit: bool) -> Batch:
        """A batch in float32 on the CPU, the same for the same seed."""
        batches = importlib.import_module(".stress_batches", __package__)
        return getattr(batches, self.draws)(shape, seed, unit, *self.options)


# The powers of two next to powers of ten.
_POWERS = {"1e-30": -100, "1e-20": -66, "1e-10": -33, "1e10": 33, "1e20": 66, "1e30": 100}
_ALL = (
    Kind("confident", "every target's logit 38 and more above the others; tight identities",
         "confident"),
    Kind("large-logits", "logits up to thousands, the target's not always the largest",
         "large_logits", families=_HEAD),
    Kind("equal-logits", "all logits of a row equal, and up to 1e7",
         "equal_logits", (), _WIDE, _HEAD, flat=("scale",)),
    Kind("common-weights", "a large vector common to all class weights, embeddings along it",
         "common_weights", (), _FINE, _HEAD),
    Kind("offset-10", "all embeddings and centers moved by 10 times their spread", "offset", (10,)),
    Kind("offset-100", "all embeddings and centers moved by 100 times their spread",
         "offset", (100,), _FINE),
    Kind("tight-clusters", "identities a thousand times as far apart as they are wide",
         "tight_clusters", (), _FINE),
    Kind("exact-ties", "quantised codes, of which many distances are exactly equal", "exact_ties"),
    Kind("duplicates", "every picture three times, also under two labels", "duplicates"),
    Kind("collapsed", "all embeddings within a thousandth of one point",
         "collapsed", (1e-3,), _FINE),
    Kind("one-point", "all embeddings exactly at one point", "collapsed", (0.0,)),
    Kind("identity-sorted", "sorted labels, every identity exactly at one point",
         "identity_sorted"),
    *(Kind(f"length-{name}", f"embeddings and centers times a power of two near {name}",
           "length", (power,), _WIDE) for name, power in _POWERS.items()),
    *(Kind(f"weights-{name}", f"class weights times a power of two near {name}",
           "weight_length", (power,), _WIDE, _HEAD) for name, power in _POWERS.items()),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _ALL}
