"""Names that are typed, checked before anything is trained."""

from __future__ import annotations

import click

from benchmarks import files


def known_dataset(given: str) -> None:
    """Raises `marginbench.catalogue.UnknownName` for a dataset that there is not; one that lies at
    a path is ``folder:/path``. Raises click.BadParameter for an option in its address, and for a
    path that is no text: a record names trainings by it."""
    from benchmarks.training.datasets import DATASETS, DataError, check_options
    from marginbench.catalogue import UnknownName
    from suites.quality.recipes import RECIPES

    if files.encoded(given).decode() != given:
        raise click.BadParameter(
            f"expected a path that is text in UTF-8; got {given!r}", param_hint="--dataset"
        )
    kind, _, path = given.partition(":")
    if given not in DATASETS and not (path and kind in RECIPES and kind not in DATASETS):
        known = [name if name in DATASETS else f"{name}:/path" for name in RECIPES]
        raise UnknownName("--dataset", given, known)
    try:
        check_options(given)
    except DataError as error:
        raise click.BadParameter(str(error), param_hint="--dataset") from None
