"""Which public implementation computes which of our variants, and each target's slope: a record.

    python -m benchmarks.who_computes reports/published/who-computes.json

What is a package is run as it is, and has to be installed. Exact: no time is measured, and no GPU
is needed. Prints which variants each is, and writes the record.

Exit codes: 0 written; 2 bad usage; 3 a package is not installed, or the record can't be written.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from marginbench import catalogue, public_code

from . import record_programs
from .agreement import same_function
from .module_commands import run

SCHEMA_VERSION = 1
# Of the slope, in degrees; none where a variant has a corner.
DEGREES = tuple(degrees + 0.5 for degrees in range(1, 179, 2))


def implementations() -> Iterator[dict[str, Any]]:
    """Each public implementation, held against every variant."""
    for loss in catalogue.losses():
        for one in public_code.of(loss):
            held = same_function.hold(one.function, one.options, one.takes)
            yield {
                "name": one.name, "loss": loss.name, "source": one.source, "note": one.note,
                "package": one.package, "options": dict(one.options),
                "version": importlib.metadata.version(one.package) if one.package else "",
                "held": [
                    {
                        "variant": f"{found.loss}/{found.variant}", "verdict": found.verdict,
                        "factor": found.factor,
                        "differs": {
                            name: same_function.where(cases)
                            for name, cases in found.differs.items() if cases
                        },
                    }
                    for found in held
                ],
            }  # fmt: skip


def slopes() -> dict[str, list[float]]:
    """By variant: the derivative of the target's logit by its plain cosine, for an embedding of
    length 1 and scale 1, by eager's own gradient.

    Of two classes the other lies across the plane of the embedding and its class weight: its logit
    is 0 and does not change in that plane, so the loss log(1 + e^-t) gives t and its slope.
    """
    found = {}
    for loss, variant in same_function.variants():
        function = loss.resolve(variant.contender("eager").entry)
        options = same_function.options_of(loss, variant, {"scale": 1.0})
        options |= same_function.statistics(variant)
        found[f"{loss.name}/{variant.name}"] = [_slope(function, options, d) for d in DEGREES]
    return found


def _slope(function: Any, options: Mapping[str, Any], degrees: float) -> float:
    theta = math.radians(degrees)
    x_BD = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    w_CD = torch.tensor(
        [[math.cos(theta), math.sin(theta), 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64
    )
    label = torch.tensor([0])
    value = function(embeddings=x_BD, labels=label, class_weights=w_CD, **options, reduction="mean")
    (d_x_BD,) = torch.autograd.grad(value, x_BD)
    # dL/dt = e^-L - 1; along the second axis the plain cosine grows by sin theta.
    return round(float(d_x_BD[0, 1]) / math.sin(theta) / math.expm1(-float(value.detach())), 6)


def facts(found: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Any]:
    """The record: how and of which commit, and what was found."""
    taken = {one.takes for loss in catalogue.losses() for one in public_code.of(loss)}
    return {
        "schema_version": SCHEMA_VERSION,
        "what": "public implementations held against our variants, by value and by gradient",
        "measured": {
            **record_programs.written_by("who_computes", path),
            **record_programs.of_tree(),
            "tolerance": same_function.TOLERANCE,
            "degrees": same_function.DEGREES,
        },
        "left_out": same_function.left_out(taken),
        "implementations": list(found),
        "slopes": {"degrees": DEGREES, "by_variant": slopes()},
    }


def main(words: Sequence[str]) -> int:
    return record_programs.record("who_computes", __doc__, words, _made)


def _made(path: Path) -> tuple[dict[str, Any], str]:
    absent = sorted({
        one.package for loss in catalogue.losses() for one in public_code.of(loss)
        if not one.installed
    })  # fmt: skip
    if absent:
        raise ModuleNotFoundError(f"not installed: {', '.join(absent)}")
    found = list(implementations())
    lines = []
    for one in found:
        same = [held["variant"] for held in one["held"] if held["verdict"] == "same"]
        lines.append(f"{one['name']}: {', '.join(same) or 'none of ours'}")
    return facts(found, path), "\n".join(lines)


if __name__ == "__main__":
    run(main)
