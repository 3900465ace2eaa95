"""Where an MLflow store is: its address, its file, and what of an address may be shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

OWN = "mlflow.db"
_NOT_IN_A_PATH = frozenset("?%#")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def address(out_dir: Path, uri: str | None) -> str:
    """The store's address: ``uri``, else MLFLOW_TRACKING_URI, else the file in ``out_dir``."""
    given = uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    return given or of_database(out_dir.resolve() / OWN)


def shown(uri: str | None) -> str:
    """The address as records and pages show it; of the folder's own store, its file's name."""
    given = uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    return without_secrets(given) if given else OWN


def of_database(file: Path) -> str:
    """The address of a SQLite file, whatever is in its path.

    A question mark ends the path of an address, and a percent sign begins the number of a letter.
    Where there is one, the driver is named too: for what begins with ``sqlite:///`` MLflow makes
    the folder by the address's letters as they stand.
    """
    path = str(file)
    if _NOT_IN_A_PATH.isdisjoint(path):
        return f"sqlite:///{path}"
    return f"sqlite+pysqlite:///{quote(os.fsencode(path))}"


def _kind(uri: str) -> str:
    return uri.split(":")[0].split("+")[0]


def in_database(uri: str) -> bool:
    """Whether it is a database, not a server that has one."""
    return _kind(uri) in _DATABASES


def database(uri: str) -> Path | None:
    """The file of a SQLite store."""
    if _kind(uri) != "sqlite":
        return None
    path = unquote(uri.partition("///")[2].partition("?")[0]).removeprefix("file:")
    return Path(path).resolve() if path else None


def absent(out_dir: Path, uri: str | None) -> Path | None:
    """The SQLite file that a store should be and is not: to read, none is made."""
    file = database(address(out_dir, uri))
    return file if file and not file.is_file() else None


def artifacts(uri: str, out_dir: Path) -> str | None:
    """Where files go: a server knows by itself, a database does not."""
    if file := database(uri):
        return (file.parent / "mlartifacts").as_uri()
    if in_database(uri):
        return (out_dir / "mlartifacts").as_uri()
    return None


def without_secrets(text: str) -> str:
    """Without the user and password that a store's address may hold. What may hold one is left
    out whole: a password may have a slash or a space in it, which databases take as they are."""
    text = re.sub(r"(?<=://)[^/@\s'\"]+:[^'\"\n]*@|(?<=//)[^/\s]*@", "", text)
    return re.sub(
        r"(?i)((?:pass\w*|pwd|token|secret\w*|api_?key))(=|%3D)[^&;\s]+", r"\1\2...", text
    )
