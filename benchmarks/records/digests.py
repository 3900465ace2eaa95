"""A running digest: each line of a record ends with one of itself and of all lines before it.

A line that was changed, moved, added or taken out is found where it stands. This protects from
mistakes, not from somebody who computes the digests anew. Needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_DIGITS = 16
_END = re.compile(rf',"digest":"([0-9a-f]{{{_DIGITS}}})"\}}')
_LENGTH = len(',"digest":""}') + _DIGITS
Line = TypeVar("Line")


class Changed(Exception):
    """A line that is not what was written there."""


class CutOff(Exception):
    """A line without its end."""


class Chain:
    """The digests of one file's lines, in order; ``last`` is that of the line before, ``""`` at the
    beginning and after lines of schema 1, which have none."""

    def __init__(self, last: str = "") -> None:
        self.last = last

    def sealed(self, line: str) -> str:
        """A JSON object of one line with its digest as last field, as the next line of the file.

        >>> Chain().sealed('{"kind":"run_end"}')
        '{"kind":"run_end","digest":"08ce4b7d1acaf27e"}'
        """
        self.last = self._digest(line)
        return f'{line[:-1]},"digest":"{self.last}"}}'

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


def read(
    texts: Iterable[str],
    parse: Callable[[str], Line],
    refused: Callable[[int, str, Exception], Exception],
    *,
    expected: Callable[[Line], bool] = lambda line: False,
) -> Iterator[Line]:
    """Each line of a file as ``parse`` makes it of its text, whole and with the right digest.

    ``expected`` says whether a line should have one. Where something is wrong, raises what
    ``refused`` makes of the line's number, its text and the error: CutOff, Changed, or one that
    ``parse`` or ``expected`` raised.
    """
    chain = Chain()
    for number, text in enumerate(texts, start=1):
        try:
            if not text.endswith("\n"):
                raise CutOff("is cut off")
            line = parse(text)
            chain.take(text, expected=expected(line))
        except (CutOff, Changed, ValueError, KeyError, TypeError, AttributeError) as error:
            raise refused(number, text, error) from None
        yield line
