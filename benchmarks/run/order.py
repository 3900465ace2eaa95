"""In which order cases run, and how long each is expected to take.

Cheap information first: whether everything is right, then at its centre size the first variant of
every loss, then the others, then the sizes around it from the cheapest. So a run that ends early
has found out the most.
"""

from __future__ import annotations

from collections.abc import Sequence

from marginbench import catalogue
from suites.cases import Case
from suites.presets import Preset

_AGREEMENT_S = 0.3
_OVERHEAD_S = 0.2
_COMPILE_S = 12.0
# The last to run: sizes beside a variant's centre.
_SIZES = 4
# Rough: a call's least operations and bytes on a slow machine. A wrong estimate costs a wrong order
# and a wrong expectation, nothing else.
_FLOPS_PER_S = {"cpu": 3e10, "cuda": 2e13}
_BYTES_PER_S = {"cpu": 2e9, "cuda": 5e11}


def expected_s(case: Case, preset: Preset) -> float:
    """Seconds that a case may take; for the order and the expectation, not for a limit."""
    if "speed" not in case.measures:
        return _AGREEMENT_S
    variant = catalogue.get(case.loss).variant(case.variant)
    cost = variant.cost(case.shape, 4)
    flops = cost.forward_flops + cost.backward_flops
    moved = cost.forward_bytes + cost.backward_bytes
    if variant.family == "head":
        moved += 12 * case.shape.batch * case.shape.classes
    elif variant.family == "batch":
        moved += 12 * case.shape.batch**2
    once = flops / _FLOPS_PER_S[case.device] + moved / _BYTES_PER_S[case.device]
    contenders = len(variant.contenders) - 1
    calls = preset.min_rounds + preset.warmup_rounds + 2
    timed = max(preset.seconds_per_case, once * contenders * calls)
    return _OVERHEAD_S + timed + 8 * once + (_COMPILE_S if case.compile else 0.0)


def ordered(cases: Sequence[Case], preset: Preset) -> list[Case]:
    """The same cases, cheap information first; equal ones stay in the order given."""
    losses: set[str] = set()
    variants: set[tuple[str, str]] = set()
    keys = {}
    for case in cases:
        variant = (case.loss, case.variant)
        if "speed" not in case.measures:
            tier = 0
        elif case.suite == "speed":
            tier = _SIZES if variant in variants else 3 if case.loss in losses else 2
            variants.add(variant)
            losses.add(case.loss)
        else:
            tier = 1
        keys[case.id] = (tier, expected_s(case, preset) if tier == _SIZES else 0.0)
    return sorted(cases, key=lambda case: keys[case.id])
