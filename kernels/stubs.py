"""``python kernels/stubs.py [--check]``: what type checkers and editors see of the lazy names.

marginbench, marginbench.functional and marginbench.miners import their names when they are first
used, by what the losses declare. A ``.pyi`` beside each says the same plainly; it is written by
this command and never by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from marginbench import _OWN, _PARTS, catalogue  # noqa: E402

_HEAD = "# Written by kernels/stubs.py from what the losses declare.\n"


def stubs() -> dict[Path, str]:
    """Each stub's path and text."""
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


def main() -> None:
    found = stubs()
    stale = [p for p, text in found.items() if not p.exists() or p.read_text() != text]
    if "--check" in sys.argv[1:]:
        names = ", ".join(path.name for path in stale)
        sys.exit(f"out of date: {names}; write with: python kernels/stubs.py" if stale else 0)
    for path in stale:
        path.write_text(found[path])


if __name__ == "__main__":
    main()
