"""What is run as ``python -m NAME`` reads its words and ends here: help from the module's own text,
a usage error in one line with exit code 2, and a signal with the signal's. The standard library
alone: a GPU session needs no more.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from . import signals


class Parser(argparse.ArgumentParser):
    """``command`` is what people type; ``text`` says what it does, with an example and its exit
    codes."""

    def __init__(self, command: str, text: str | None) -> None:
        super().__init__(
            prog=command, description=text, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Ends this process with the code that ``main`` returns of its words, or with that of the
    signal which stopped it."""
    signals.listen()
    try:
        code = main(sys.argv[1:])
        signals.settle()
    except KeyboardInterrupt:
        signals.settle()
        with contextlib.suppress(OSError):
            print("interrupted", file=sys.stderr, flush=True)
        code = signals.INTERRUPTED
    sys.exit(signals.exit_code() or code)
