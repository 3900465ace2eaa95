"""What is run as ``python -m NAME`` reads its words here: help from the module's own text, and a
usage error in one line with exit code 2. The standard library alone: a GPU session needs no more.
"""

from __future__ import annotations

import argparse
from typing import NoReturn


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
