"""Entries of a record, which are of any kind and depth, as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter

from .. import units
from ..rows import Rows


def shown(value: object) -> str:
    """A value in a cell: texts as they are, numbers in three digits, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, float):
        return units.digits3(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def flat(entries: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Rows of a table, name and value; what is inside an entry has a row of its own."""
    rows = []
    for key, value in entries.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            rows += flat(value, f"{name}: ")
        else:
            rows.append((name, shown(value)))
    return rows


def holders(
    entries: Sequence[tuple[str, tuple[str, str]]], everyone: Collection[str]
) -> dict[tuple[str, str], str]:
    """Each setting once, and for whom it holds. ``entries``: who, and a setting with its value."""
    return {
        setting: "all" if len(found) == len(everyone) else ", ".join(found)
        for setting, pairs in Rows(entries).by(itemgetter(1)).items()
        if (found := pairs.each(itemgetter(0)))
    }
