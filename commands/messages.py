"""What every command says in the same way: an error in one line, its exit code, and on what
console it prints."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

# Exit codes that mean the same whatever the command; 2, bad usage, is click's own.
FAILED, NOT_POSSIBLE, INTERRUPTED = 1, 3, 130


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Ends the command with the error in one line."""
    click.echo(f"error: {' '.join(message.splitlines())}", err=True)
    sys.exit(code)


def unwritable(error: OSError) -> str:
    """A folder or a disk that refused a file, as a sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"disk full: {error.filename} is not written; free some space, then run the same "
            "again; what was measured is kept (run --resume)"
        )
    return f"expected a folder that can be written; {error.strerror}: {error.filename}"


def os_reason(error: OSError, folder: Path) -> str:
    """A full disk is found in writing, which names no file; some errors have a text alone."""
    return f"{error.strerror}: {error.filename or folder}" if error.strerror else str(error)


def console(width: int | None = None, *, stderr: bool = False) -> Console:
    """Where tables go. In a log or a pipe, which has no width, ``width`` counts: what a script
    reads is then not folded at rich's 80 columns."""
    found = Console(stderr=stderr)
    return found if width is None or found.is_terminal else Console(stderr=stderr, width=width)
