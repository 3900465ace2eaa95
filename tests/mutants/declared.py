"""What the mutants are: data in TOML files, and how one is put into a tree.

A loss's lie in ``tests/mutants.toml`` of its folder, those of shared kernels beside this file.

A file has ``wider``, the test files to try before a mutant is called a survivor, and a table
``[[mutant]]`` for each:

- ``name``, unique; ``kind``, one of `KINDS`;
- ``file``, under kernels/; ``old``, text that occurs in it exactly once; ``new``, what takes its
  place;
- ``tests``, the pytest ids (relative to the repository) that should kill it, the likeliest first;
- ``raises``, only where the test goes red by an error of another type than an assertion's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KINDS = (
    "accumulator", "bound", "derivative", "dtype", "factor", "host", "index", "mask", "nan",
    "offset", "order", "sign", "stale",
)  # fmt: skip


# How many of a loss, and of all shared kernels, are a sample.
A_LOSS, SHARED = 4, 12


class BadMutant(Exception):
    """A mutant that is not declared well, or no longer fits the code; names it."""


@dataclass(frozen=True)
class Mutant:
    name: str
    kind: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    wider: tuple[str, ...]
    raises: str = ""

    @property
    def module(self) -> str:
        return self.file.removeprefix("kernels/").removesuffix(".py").replace("/", ".")

    @property
    def folder(self) -> str:
        """The loss's folder under kernels/marginbench, or ``shared``."""
        return self.file.split("/")[2]

    def applied(self, text: str) -> str:
        """The file's text with the mutant in it; raises BadMutant where it no longer fits."""
        count = text.count(self.old)
        if count != 1:
            raise BadMutant(f"{self.name}: old occurs {count} times in {self.file}, expected once")
        mutated = text.replace(self.old, self.new)
        try:
            compile(mutated, self.file, "exec")
        except SyntaxError as error:
            raise BadMutant(f"{self.name}: new is no Python: {error}") from error
        return mutated


def files(root: Path = ROOT) -> list[Path]:
    """Each loss's, then those of shared kernels."""
    losses = (root / "kernels" / "marginbench").glob("*/tests/mutants.toml")
    return [*sorted(losses), *sorted((root / "tests" / "mutants").glob("*.toml"))]


def mutants(root: Path = ROOT) -> list[Mutant]:
    """All that are declared, in the order of their files; raises BadMutant, so too for none."""
    found: list[Mutant] = []
    for path in files(root):
        source = str(path.relative_to(root))
        declared = tomllib.loads(path.read_text())
        wider = tuple(declared.pop("wider"))
        found += [_mutant(source, fields, wider) for fields in declared.pop("mutant")]
        if declared:
            raise BadMutant(f"{source}: unknown key {next(iter(declared))}")
    if not found:
        raise BadMutant(f"expected mutants in {root}; there is none")
    names = [mutant.name for mutant in found]
    for name in names:
        if names.count(name) > 1:
            raise BadMutant(f"{name}: declared twice")
    return found


def _mutant(source: str, fields: dict, wider: tuple[str, ...]) -> Mutant:
    name = fields.get("name", "a mutant without a name")
    known = {field.name for field in dataclasses.fields(Mutant)} - {"wider"}
    wrong = set(fields) ^ known - ({"raises"} - set(fields))
    if wrong:
        raise BadMutant(f"{source}: {name}: unknown or missing: {', '.join(sorted(wrong))}")
    if fields["kind"] not in KINDS:
        raise BadMutant(
            f"{source}: {name}: kind: expected one of {', '.join(KINDS)}; got {fields['kind']!r}"
        )
    if not fields["tests"] or fields["old"] == fields["new"]:
        raise BadMutant(f"{source}: {name}: needs tests, and a new text that differs from the old")
    return Mutant(**{**fields, "tests": tuple(fields["tests"])}, wider=wider)


def sampled(found: list[Mutant], seed: int) -> list[Mutant]:
    """`A_LOSS` of each loss's and `SHARED` of the shared kernels', spread over files and kinds.
    Chosen by the seed, so that over many commits all are met."""
    chosen: list[Mutant] = []
    for folder in dict.fromkeys(mutant.folder for mutant in found):
        waiting = sorted(
            (mutant for mutant in found if mutant.folder == folder),
            key=lambda mutant: hashlib.sha256(f"{seed} {mutant.name}".encode()).digest(),
        )
        files, kinds = Counter[str](), Counter[str]()
        for _ in range(min(len(waiting), SHARED if folder == "shared" else A_LOSS)):
            mutant = min(waiting, key=lambda one: (files[one.file], kinds[one.kind]))
            waiting.remove(mutant)
            files[mutant.file] += 1
            kinds[mutant.kind] += 1
            chosen.append(mutant)
    return [mutant for mutant in found if mutant in chosen]
