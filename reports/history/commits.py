"""The order of commits: git's where it knows them, else the order in which they were measured."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def log(root: Path) -> list[str]:
    """Hashes of every commit of the clone, no parent after its child; empty without git."""
    command = ["git", "rev-list", "--all", "HEAD", "--date-order", "--reverse"]
    # A clone inside another repository's folder is not that repository.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(root.parent)}
    try:
        found = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found.stdout.split() if found.returncode == 0 else []


def ordered(measured_at: Mapping[str, str], known: Sequence[str]) -> list[str]:
    """The commits of ``measured_at`` (commit: when it was first measured, ISO 8601 in UTC).

    Those in ``known`` keep its order. Another one (rebased away, of another clone) stands before
    the first of them that was measured after it.
    """
    rank = {commit: place for place, commit in enumerate(known)}
    order = sorted((commit for commit in measured_at if commit in rank), key=rank.__getitem__)
    strangers = sorted(set(measured_at) - set(order), key=lambda c: (measured_at[c], c))
    for stranger in strangers:
        later = (i for i, c in enumerate(order) if measured_at[c] > measured_at[stranger])
        order.insert(next(later, len(order)), stranger)
    return order
