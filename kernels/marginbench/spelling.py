"""What was meant by a name that is not there: for errors, which name the nearest that is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(got: object, known: Iterable[object]) -> str:
    """The nearest of ``known`` as the end of a sentence; empty where none is near, or where
    ``got`` is no text.

    >>> from marginbench.spelling import meant
    >>> meant("semihard", ["batch-hard", "semi-hard"])
    "; did you mean 'semi-hard'?"
    """
    if not isinstance(got, str):
        return ""
    named = {str(one): one for one in known}
    close = difflib.get_close_matches(got, named, n=1)
    return f"; did you mean {named[close[0]]!r}?" if close else ""
