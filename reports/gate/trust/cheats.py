"""The ways to look fast without being so, and how each is caught or ruled out: a plain list."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources

_OUTCOMES = ("caught", "ruled out")


@dataclass(frozen=True)
class Cheat:
    """``where``: the file that catches it or rules it out; ``plant``: the name under which
    tests/support/gate_cheats.py plants it, empty where that takes a GPU."""

    name: str
    what: str
    outcome: str
    how: str
    where: str
    plant: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in _OUTCOMES:
            raise ValueError(f"outcome: expected {' or '.join(_OUTCOMES)}; got {self.outcome!r}")


def cheats() -> list[Cheat]:
    """All of benchmarks/gate/cheats.toml, in its order."""
    text = (resources.files("benchmarks.gate") / "cheats.toml").read_text(encoding="utf-8")
    return [Cheat(**entry) for entry in tomllib.loads(text)["cheat"]]
