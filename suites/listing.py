"""Everything there is to measure, as plain data: what `marginbench list` prints."""

from __future__ import annotations

from typing import Any

from marginbench import catalogue, stress
from marginbench.loss import Loss, Variant

from .cases import SUITES
from .presets import PRESETS


def everything() -> dict[str, Any]:
    """Losses with their variants and contenders, folders that failed to import, suites, presets."""
    return {
        "losses": [_loss(loss) for loss in catalogue.losses()],
        "failed": [{"name": f.name, "reason": f.reason} for f in catalogue.failures()],
        "suites": dict(SUITES),
        "data": {name: kind.summary for name, kind in stress.KINDS.items()},
        "presets": {name: preset.summary for name, preset in PRESETS.items()},
    }


def _loss(loss: Loss) -> dict[str, Any]:
    return {
        "name": loss.name,
        "title": loss.title,
        "source": loss.source,
        "variants": [_variant(variant) for variant in loss.variants],
    }


def _variant(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "summary": variant.summary,
        "equation": variant.equation,
        "source": variant.source,
        "family": variant.family,
        "sizes": list(variant.sizes),
        "fields": {field.name: list(field.sizes) for field in variant.fields},
        "contenders": [contender.name for contender in variant.contenders],
        "excused": dict(variant.excused),
    }
