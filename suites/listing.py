"""Everything there is to measure, as plain data: what `marginbench list` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from kernels import catalogue
from kernels.loss import Loss, Variant

from .cases import SUITES
from .presets import PRESETS


def everything() -> dict[str, Any]:
    """Losses with their variants and contenders, folders that failed to import, suites, presets."""
    return {
        "losses": [_loss(loss) for loss in catalogue.losses()],
        "failed": [{"name": f.name, "reason": f.reason} for f in catalogue.failures()],
        "suites": dict(SUITES),
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
        "contenders": [contender.name for contender in variant.contenders],
        "excused": dict(variant.excused),
    }


def show(listing: dict[str, Any], console: Console) -> None:
    """Print what `everything` found as tables."""
    table = Table("loss", "variant", "contenders", "what it is", title="Losses")
    for loss in listing["losses"]:
        for variant in loss["variants"]:
            contenders = ", ".join(variant["contenders"])
            table.add_row(loss["name"], variant["name"], contenders, variant["summary"])
    console.print(table)
    for failure in listing["failed"]:
        console.print(f"[red]failed to import[/] {failure['name']}: {failure['reason']}")
    for kind in ("suites", "presets"):
        table = Table("name", "what it measures", title=kind.capitalize())
        for name, summary in listing[kind].items():
            table.add_row(name, summary)
        console.print(table)
