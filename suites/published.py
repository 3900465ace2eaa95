"""The papers' own tables as data: published, other data, each with its source and status.

No figure of them can be compared with one of ours; data, network and year differ between them too,
which is why each row names network and data.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".toml")
STATUSES = {
    "V": "read in the paper's text",
    "V2": "quoted in another paper",
    "REPO": "from the authors' released code or its README",
    "FIG": "read off a plot",
}
ALWAYS = ("backbone", "trained on")


@dataclass(frozen=True)
class Table:
    """Rows as texts, as they were printed; ``status`` is one of `STATUSES` with what it means."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    source: str
    status: str
    mark: str = "published, other data"


def tables(path: Path = SOURCE) -> list[Table]:
    """All tables, in the file's order. Raises ValueError for one without source, network or data,
    or with a status that may not be shown: figures that are only remembered are never data."""
    with path.open("rb") as file:
        return [_table(fields) for fields in tomllib.load(file)["table"]]


def _table(fields: dict) -> Table:
    title, status = fields.get("title", ""), fields.get("status")
    if not title or not fields.get("source"):
        raise ValueError(f"table: expected a title and a source; got {title!r} without")
    if status not in STATUSES:
        raise ValueError(
            f"status of {title!r}: expected one of {', '.join(STATUSES)}; got {status!r}"
        )
    columns, rows = tuple(fields["columns"]), tuple(tuple(row) for row in fields["rows"])
    for name in ALWAYS:
        if name not in columns:
            raise ValueError(f"columns of {title!r}: expected {name}; got {', '.join(columns)}")
    for row in rows:
        if len(row) != len(columns) or not all(isinstance(v, str) and v for v in row):
            raise ValueError(f"rows of {title!r}: expected {len(columns)} texts; got {row}")
    said = f"{status}: {STATUSES[status]}"
    return Table(title, columns, rows, fields["source"], said)
