"""What the words of ``marginbench compare`` stand for: files and folders, or runs in the store.

``commit:REVISION``, ``torch:VERSION`` and ``machine:WORDS`` choose the stored runs of a commit, a
version of torch, or a machine (by its CPU or GPU); a word that is no path is tried as a revision.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import reading

KINDS = ("commit", "torch", "machine")


class Unknown(Exception):
    """A word that stands for nothing; says what was expected."""


@dataclass(frozen=True)
class Side:
    """``paths``: each one process. ``by``: what chose them, empty where they were named."""

    label: str
    paths: tuple[Path, ...]
    by: str = ""


def resolve(word: str, store: Sequence[Path], root: Path) -> Side:
    """Raises Unknown. ``root`` is the clone whose revisions are meant."""
    path = Path(word)
    if path.exists():
        return Side(word, (path,))
    kind, _, value = word.partition(":")
    if kind not in KINDS or not value:
        kind, value = "commit", word
    commit = _commit(value, root) if kind == "commit" else ""
    if kind == "commit" and not commit:
        raise Unknown(f"expected a file, a run's folder, a revision, or one of "
                      f"{', '.join(f'{k}:...' for k in KINDS)}; got {word}")  # fmt: skip
    found = [file for file, first in reading.stored(store) if _fits(first, kind, commit or value)]
    if not found:
        where = ", ".join(map(str, store))
        raise Unknown(f"{word}: expected a run of it under {where}; there is none")
    return Side(word, tuple(found), kind)


def _fits(first: dict[str, Any], kind: str, value: str) -> bool:
    if first.get("kind") != "session" or not isinstance(first.get("identity"), dict):
        return False
    if kind == "commit":
        return first["commit"] == value and not first["dirty"]
    identity = first["identity"]
    if kind == "torch":
        return str(identity.get("versions", {}).get("torch", "")).split("+")[0] == value
    names = f"{identity.get('cpu', '')} {identity.get('gpu', '')}".lower()
    return value.lower() in names


def _commit(value: str, root: Path) -> str:
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "--end-of-options",
               f"{value}^{{commit}}"]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise Unknown(f"expected git, to find the revision {value}; {error.strerror}") from None
    return done.stdout.strip() if done.returncode == 0 else ""
