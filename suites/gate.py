"""Which cases the regression gate times: declared from the catalogue of either tree.

``smoke`` takes one variant of each loss; ``default`` every variant at the small sizes of the fast
preset; ``thorough`` adds the centre of the default preset. Only our own contenders that need no
compiling by torch are gated: what a peer or torch.compile does is not this repository's to mend.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from marginbench.loss import Shape

from .presets import DEFAULT, FAST
from .shapes import shapes_of

SUITES = {
    "smoke": "one variant of each loss, eager alone (on CUDA with the fused kernel): seconds",
    "default": "every variant at small sizes, all contenders of ours: a few minutes",
    "thorough": "the same, and the usual sizes beside",
}
_SMOKE_CONTENDERS = ("eager", "triton")


@dataclass(frozen=True)
class TimedCase:
    """One timed comparison. ``version`` is the variant's: another version is another function,
    whose time has nothing to be compared with."""

    loss: str
    variant: str
    version: int
    contender: str
    shape: Shape
    dtype: str
    device: str

    @property
    def id(self) -> str:
        return (
            f"{self.loss}/{self.variant}.v{self.version}/{self.contender}/{self.shape}/"
            f"{self.dtype}/{self.device}"
        )


def plan(suite: str, device: str, package: str = "marginbench") -> list[TimedCase]:
    """The suite's cases that a tree, imported as ``package``, declares for a device."""
    catalogue = importlib.import_module(f"{package}.catalogue")
    found = []
    for loss in catalogue.losses():
        variants = _smoke(loss) if suite == "smoke" else loss.variants
        for variant in variants:
            for contender in variant.contenders:
                if not _timed(contender, device, suite):
                    continue
                for shape in _shapes(suite, variant, device):
                    found += [
                        TimedCase(loss.name, variant.name, variant.version, contender.name, shape,
                                  dtype, device)
                        for dtype in FAST.speed_dtypes(device)
                        if dtype in contender.dtypes and not _limited(contender, shape, dtype)
                    ]  # fmt: skip
    return found


def _smoke(loss: Any) -> tuple[Any, ...]:
    """The variant that networks are trained with, which stands for the loss."""
    stands = loss.training.variant if loss.training else loss.variants[0].name
    return (loss.variant(stands),)


def ours(contender: Any) -> bool:
    """Whether this tree computes it itself, and the reference is not what is asked about: neither
    a peer nor what torch.compile makes of eager. Of either tree, so no method of a contender."""
    return (
        contender.name != "reference"
        and not contender.compiled
        and not any(need.startswith("package:") for need in contender.needs)
    )


def _timed(contender: Any, device: str, suite: str) -> bool:
    if not ours(contender) or device not in contender.devices:
        return False
    if "cuda" in contender.needs and device != "cuda":
        return False
    return suite != "smoke" or contender.name in _SMOKE_CONTENDERS


def _shapes(suite: str, variant: Any, device: str) -> tuple[Shape, ...]:
    small = shapes_of(variant, FAST.speed_shapes(device), "small")[:1]
    if suite != "thorough":
        return small
    usual = shapes_of(variant, DEFAULT.speed_shapes(device), device)[:1]
    return tuple(dict.fromkeys((*small, *usual)))


def _limited(contender: Any, shape: Shape, dtype: str) -> bool:
    return bool(contender.limit and contender.limit(shape, dtype))
