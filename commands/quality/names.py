"""Names that are typed, checked before anything is trained."""

from __future__ import annotations

import click

from benchmarks.records import files


def known_dataset(given: str) -> None:
    """Raises `marginbench.catalogue.UnknownName` for a dataset that there is not; one that lies at
    a path is ``folder:/path``. Raises click.BadParameter for an option in its address, and for a
    path that is no text: a record names trainings by it."""
    from benchmarks.training.datasets import DataError, check_options
    from marginbench.catalogue import UnknownName
    from suites.datasets.catalogue import datasets, find

    if files.encoded(given).decode() != given:
        raise click.BadParameter(
            f"expected a path that is text in UTF-8; got {given!r}", param_hint="--dataset"
        )
    if find(given) is None:
        raise UnknownName("--dataset", given, [one.written for one in datasets().values()])
    try:
        check_options(given)
    except DataError as error:
        raise click.BadParameter(str(error), param_hint="--dataset") from None
