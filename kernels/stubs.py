"""What type checkers and editors see of the library's lazy names.

    python kernels/stubs.py            write the stubs
    python kernels/stubs.py --check    are they what the losses declare?

marginbench, marginbench.functional and marginbench.miners import their names when they are first
used, by what the losses declare. A .pyi beside each says the same plainly; it is written by this
command and never by hand.

Exit codes: 0 up to date, or written; 1 out of date; 2 bad usage; 3 a loss can't be imported, or
a file can't be read or written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from marginbench import _OWN, _PARTS, catalogue  # noqa: E402

_HEAD = "# Written by kernels/stubs.py from what the losses declare.\n"


def stubs() -> dict[Path, str]:
    """Each stub's path and text; raises BrokenLoss where a loss's names would be missing."""
    catalogue.complete()
    return {HERE / "marginbench" / f"{part or '__init__'}.pyi": _stub(part)
            for part in ("", *_PARTS)}  # fmt: skip


def _stub(part: str) -> str:
    lines = [
        f"from .{loss.package.rpartition('.')[2]}.{entry.partition(':')[0]} import {name} as {name}"
        for name, (loss, entry) in catalogue.public(part).items()
    ]
    names = list(catalogue.public(part))
    if not part:
        lines += [f"from .{file} import {name} as {name}" for name, file in _OWN.items()]
        lines += [f"from . import {one} as {one}" for one in _PARTS]
        names += [*_OWN, *_PARTS]
    shown = "".join(f'    "{name}",\n' for name in sorted(names))
    version = "" if part else "\n__version__: str\n"
    return f"{_HEAD}\n" + "\n".join(sorted(lines)) + f"\n{version}\n__all__ = [\n{shown}]\n"


class _Parser(argparse.ArgumentParser):
    """A usage error is one line, as of the suite's commands: the library imports none of these."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def main(words: Sequence[str]) -> int:
    parser = _Parser(
        prog="python kernels/stubs.py", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(words).check
    try:
        return _settled(stubs(), check)
    except (catalogue.BrokenLoss, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


def _settled(found: dict[Path, str], check: bool) -> int:
    """Writes them, or says which are out of date; returns the exit code."""
    stale = [p for p, text in found.items() if not p.exists() or p.read_text() != text]
    if check and stale:
        names = ", ".join(path.name for path in stale)
        print(f"out of date: {names}; write with: python kernels/stubs.py", file=sys.stderr)
        return 1
    for path in stale:
        path.write_text(found[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
