"""A running digest: each line of a record ends with one of itself and of all lines before it.

A line that was changed, moved, added or taken out is found where it stands. This protects from
mistakes, not from somebody who computes the digests anew. Needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import re

_DIGITS = 16
_END = re.compile(rf',"digest":"([0-9a-f]{{{_DIGITS}}})"\}}')
_LENGTH = len(',"digest":""}') + _DIGITS


class Changed(Exception):
    """A line that is not what was written there."""


class Chain:
    """The digests of one file's lines, in order; ``last`` is that of the line before, ``""`` at the
    beginning and after lines of schema 1, which have none."""

    def __init__(self, last: str = "") -> None:
        self.last = last

    def sealed(self, line: str) -> str:
        """A JSON object of one line with its digest as last field.

        >>> Chain().sealed('{"kind":"run_end"}')
        '{"kind":"run_end","digest":"08ce4b7d1acaf27e"}'
        """
        return f'{line[:-1]},"digest":"{self._digest(line)}"}}'

    def take(self, line: str, *, expected: bool) -> None:
        """The next line of the file; raises Changed where it can't be. ``expected``: whether its
        schema has a digest."""
        line = line.rstrip("\n")
        found = digest_of(line)
        if not found:
            if self.last or expected:
                raise Changed("expected a digest at its end")
            return
        if found != self._digest(line[:-_LENGTH] + "}"):
            raise Changed("its digest is not of this line after those before it")
        self.last = found

    def _digest(self, line: str) -> str:
        text = self.last + line
        return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:_DIGITS]


def digest_of(line: str) -> str:
    """The digest that a line ends with; ``""`` where it has none."""
    found = _END.fullmatch(line.rstrip("\n")[-_LENGTH:])
    return found[1] if found else ""
