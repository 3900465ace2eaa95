"""What a quality run can train, as plain data: what `marginbench quality list` prints."""

from __future__ import annotations

from typing import Any

from marginbench import catalogue
from suites.claims.catalogue import claims
from suites.datasets.catalogue import datasets as declared
from suites.datasets.declaration import Declaration
from suites.quality.search import standing_variant


def everything() -> dict[str, Any]:
    """Datasets with why each is missing (empty where it is there), losses, backbones, claims."""
    from benchmarks.training.backbones import BACKBONES

    return {
        "datasets": [
            {"name": one.name, "missing": _missing(one), "why": one.recipe.why}
            for one in declared().values()
        ],
        "losses": [
            {"name": loss.name, "variant": standing_variant(loss.name), "title": loss.title}
            for loss in catalogue.losses()
        ],
        "backbones": list(BACKBONES),
        "claims": [
            {
                "number": claim.number, "name": claim.name, "title": claim.title,
                "statement": claim.statement, "source": claim.source,
                "criterion": claim.criterion,
            }
            for claim in claims()
        ],
    }  # fmt: skip


def _missing(of: Declaration) -> str:
    from benchmarks.training import datasets

    if of.at_path:
        return f"given by a path, as {of.written}"
    try:
        datasets.load(of.missing_with or of.name)
    except (datasets.Missing, datasets.DataError) as error:
        return str(error)
    return ""
