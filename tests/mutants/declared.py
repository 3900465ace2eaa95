"""What the mutants are: data in the TOML files beside this one, and how one is put into a tree.

A file has ``wider``, the test files to try before a mutant is called a survivor, and a table
``[[mutant]]`` for each:

- ``name``, unique; ``kind``, one of `KINDS`;
- ``file``, under kernels/; ``old``, text that occurs in it exactly once; ``new``, what takes its
  place;
- ``tests``, the pytest ids (relative to tests/) that should kill it, the likeliest first;
- ``raises``, only where the test goes red by an error of another type than an assertion's.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TABLE = HERE / "TABLE.md"
KINDS = (
    "accumulator", "bound", "derivative", "dtype", "factor", "host", "index", "mask", "nan",
    "offset", "order", "sign", "stale",
)  # fmt: skip


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


def mutants(folder: Path = HERE) -> list[Mutant]:
    """All that are declared, in the order of their files; raises BadMutant, so too for none."""
    found: list[Mutant] = []
    for path in sorted(folder.glob("*.toml")):
        declared = tomllib.loads(path.read_text())
        wider = tuple(declared.pop("wider"))
        found += [_mutant(path.name, fields, wider) for fields in declared.pop("mutant")]
        if declared:
            raise BadMutant(f"{path.name}: unknown key {next(iter(declared))}")
    if not found:
        raise BadMutant(f"expected mutants in {folder}; there is none")
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


def table(rows: list[tuple[Mutant, str]]) -> str:
    """Mutants and the test function that kills each, as Markdown without anything that varies."""
    kinds = len({mutant.kind for mutant, _ in rows})
    files = len({mutant.file for mutant, _ in rows})
    lines = [
        "# Planted wrong kernels, and the test that finds each",
        "",
        f"Written by `make mutants`: {len(rows)} of {kinds} kinds, in {files} files, all found.",
        "",
        "| mutant | kind | file | found by |",
        "|---|---|---|---|",
    ]
    for mutant, killer in rows:
        lines.append(f"| {mutant.name} | {mutant.kind} | {mutant.file} | {killer} |")
    return "\n".join(lines) + "\n"


def listed(text: str) -> list[tuple[str, str, str, str]]:
    """The rows of a table: name, kind, file and killing test."""
    cells = (line.strip("|").split("|") for line in text.splitlines() if line.startswith("| "))
    rows = [tuple(cell.strip() for cell in row) for row in cells]
    return rows[1:]  # type: ignore[return-value]


def disagreements(found: list[Mutant], text: str) -> list[str]:
    """Where the committed table and the declared mutants differ."""
    declared = [(mutant.name, mutant.kind, mutant.file) for mutant in found]
    written = [row[:3] for row in listed(text)]
    missing = [f"{row[0]}: declared, not in the table" for row in declared if row not in written]
    extra = [f"{row[0]}: in the table, not declared" for row in written if row not in declared]
    if not missing and not extra and declared != written:
        return ["the table's order is not that of the declarations"]
    return missing + extra
