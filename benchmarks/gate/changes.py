"""Which losses are the same in two trees, with all that decides on their times."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .. import library

# Which cases there are, and how they are timed.
_MEASURES = (
    "suites/*.py",
    "benchmarks/*.py",
    *(f"benchmarks/{room}/*.py" for room in ("instruments", "agreement", "run", "gate")),
)


def unchanged(base: Path, candidate: Path, folders: Iterable[str]) -> set[str]:
    """Those losses' folders that are the same in both trees: their own files and those of losses
    that they import from, what all losses share, and the code that measures. Tests are no part."""
    if _files(base) != _files(candidate):
        return set()
    libraries = library.folder(base), library.folder(candidate)
    return {
        folder
        for folder in folders
        if all(
            _of_folder(libraries[0] / one) == _of_folder(libraries[1] / one)
            for one in _with_siblings(libraries[1], folder)
        )
    }


def _files(tree: Path) -> Mapping[str, bytes]:
    """What every loss depends on."""
    library_folder = library.folder(tree)
    found = {f"library/{path.name}": path.read_bytes() for path in library_folder.glob("*.py")}
    found |= {
        f"shared/{name}": text for name, text in _of_folder(library_folder / "shared").items()
    }
    for pattern in _MEASURES:
        found |= {
            str(path.relative_to(tree)): path.read_bytes() for path in tree.glob(pattern)
        }  # fmt: skip
    return found


def _of_folder(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in _files_of(folder)}


def _files_of(folder: Path) -> list[Path]:
    found = folder.rglob("*.py")
    return [path for path in found if path.relative_to(folder).parts[0] != "tests"]


def _with_siblings(library_folder: Path, folder: str) -> Iterator[str]:
    """The folder, and those of other losses that its files import from, or theirs."""
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        one = waiting.pop()
        if one in seen or not (library_folder / one).is_dir():
            continue
        seen.add(one)
        yield one
        for path in _files_of(library_folder / one):
            inside = path.relative_to(library_folder).parts[:-1]
            waiting += _imported(ast.parse(path.read_bytes()), inside)


def _imported(tree: ast.AST, inside: Sequence[str]) -> Iterator[str]:
    """What of the library a file in its folder ``inside`` imports relatively: the first name below
    the library, which is a loss's folder or what all losses share."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = [*inside[: len(inside) + 1 - node.level], *(node.module or "").split(".")]
            named = [part for part in above if part]
            yield from named[:1] or (alias.name for alias in node.names)
