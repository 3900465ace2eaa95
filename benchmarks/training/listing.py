"""What a quality run can train, as plain data: what `marginbench quality list` prints."""

from __future__ import annotations

from typing import Any

from marginbench import catalogue
from suites.claims.catalogue import claims
from suites.quality.recipes import RECIPES
from suites.quality.search import standing_variant


def everything() -> dict[str, Any]:
    """Datasets with why each is missing (empty where it is there), losses, backbones, claims."""
    from benchmarks.training.backbones import BACKBONES

    return {
        "datasets": [
            {"name": name, "missing": _missing(name), "why": recipe.why}
            for name, recipe in RECIPES.items()
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


def _missing(name: str) -> str:
    from benchmarks.training import datasets

    if name not in datasets.DATASETS:
        return f"given by a path, as {name}:/path"
    if name == "glyphs-large":
        # 400,000 pictures are not drawn to be listed; what is missing there is missing here.
        name = "glyphs"
    try:
        datasets.load(name)
    except (datasets.Missing, datasets.DataError) as error:
        return str(error)
    return ""
