"""The closed division's one recipe for each dataset, with its reasons; nothing here is tuned.

A training of digits takes seconds; one of fashion or of glyphs at most about a minute and a half
on one core, so that all losses and seeds of both fit into an evening.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from suites.datasets.catalogue import datasets
from suites.datasets.declaration import Recipe

RECIPES: Mapping[str, Recipe] = {name: one.recipe for name, one in datasets().items()}


def recipe(dataset: str) -> Recipe:
    """The recipe of a dataset by its name, ``folder:`` and ``lfw:`` with a path among them;
    raises InputError for a name without one."""
    kind = dataset.partition(":")[0]
    if kind not in RECIPES:
        # Imported here because it brings torch, which planning does without.
        from marginbench.checks import InputError

        raise InputError("dataset", f"one of {', '.join(RECIPES)}", repr(dataset))
    return RECIPES[kind]


@dataclass(frozen=True)
class Size:
    """How much a quality run trains. ``trials`` is the open division's budget, the same for each
    loss; ``claims`` is the form of the claims (see `suites.claims.claim`)."""

    name: str
    datasets: tuple[str, ...]
    seeds: int
    trials: int
    claims: str
    minutes: int


SMALL = Size("quality", ("digits",), 3, 12, "small", minutes=10)
FULL = Size("quality-full", ("glyphs", "fashion"), 5, 12, "full", minutes=90)
SIZES = {size.name: size for size in (SMALL, FULL)}
