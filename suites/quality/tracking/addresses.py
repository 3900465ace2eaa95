"""Addresses of MLflow's stores: which one is meant, and the file of a SQLite one."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote

OWN = "mlflow.db"
_NOT_IN_A_PATH = frozenset("?%#")


def address(out_dir: Path, uri: str | None) -> str:
    """The store's address: ``uri``, else MLFLOW_TRACKING_URI, else the file in ``out_dir``."""
    given = uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    return given or of_database(out_dir.resolve() / OWN)


def of_database(database: Path) -> str:
    """The address of a SQLite file, whatever is in its path.

    A question mark ends the path of an address, and a percent sign begins the number of a letter.
    Where there is one, the driver is named too: for what begins with ``sqlite:///`` MLflow makes
    the folder by the address's letters as they stand.
    """
    path = str(database)
    if _NOT_IN_A_PATH.isdisjoint(path):
        return f"sqlite:///{path}"
    return f"sqlite+pysqlite:///{quote(os.fsencode(path))}"


def database_of(uri: str) -> Path | None:
    """The file of a SQLite store; None of any other."""
    if uri.split(":")[0].split("+")[0] != "sqlite":
        return None
    path = unquote(uri.partition("///")[2].partition("?")[0]).removeprefix("file:")
    return Path(path).resolve() if path else None
