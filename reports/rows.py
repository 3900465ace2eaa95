"""One tidy table: a row a result, a case or a training, and its columns asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

Item = TypeVar("Item")
Column: TypeAlias = str | Callable[[Any], Any]


class Rows(tuple[Item, ...]):
    """Rows of a kind, in their order. A column is a name, of the row or of its case, or a function
    of the row.

        results = records.results.where(loss="cosface", status="ok")
        for contender, own in results.by("contender").items(): ...
    """

    def where(self, *tests: Column, **columns: object) -> Rows[Item]:
        """Those with these values, or with one of a tuple's, and for which each test is true."""
        return Rows(row for row in self if _is(row, tests, columns))

    def but(self, **columns: object) -> Rows[Item]:
        """All others than `where` finds."""
        return Rows(row for row in self if not _is(row, (), columns))

    def first(self, *tests: Column, **columns: object) -> Item | None:
        return next((row for row in self if _is(row, tests, columns)), None)

    def each(self, column: Column) -> list[Any]:
        """Every value of a column once, in the order in which they come first."""
        return list(dict.fromkeys(_value(row, column) for row in self))

    def by(self, *columns: Column) -> dict[Any, Rows[Item]]:
        """Rows of one value together, of one tuple of values where there are several columns; in
        the order in which they come first."""
        found: dict[Any, list[Item]] = {}
        for row in self:
            values = tuple(_value(row, column) for column in columns)
            found.setdefault(values if len(values) > 1 else values[0], []).append(row)
        return {key: Rows(own) for key, own in found.items()}

    def pivot(self, rows: Column, columns: Column) -> dict[Any, dict[Any, Rows[Item]]]:
        """`by` two columns, the second within the first."""
        return {key: own.by(columns) for key, own in self.by(rows).items()}


def _value(row: Any, column: Column) -> Any:
    if callable(column):
        return column(row)
    return getattr(row, column) if hasattr(row, column) else getattr(row.case, column)


def _is(row: Any, tests: tuple[Column, ...], columns: dict[str, object]) -> bool:
    for column, wanted in columns.items():
        if _value(row, column) not in (wanted if isinstance(wanted, tuple) else (wanted,)):
            return False
    return all(_value(row, test) for test in tests)
