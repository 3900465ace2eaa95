"""How a command ends: an exit code for each way, and one line for what stopped it.

Exit code 1 is a verdict's alone: a regression, a difference, a kernel that is not as pinned.
Whatever else stops a command has another code, so that a script never takes a full disk for a
regression.
Signals are handled before click and the commands are imported.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import traceback
from collections.abc import Iterator
from typing import IO, NoReturn

from benchmarks import signals
from benchmarks.records import files, folders, record_files
from benchmarks.signals import INTERRUPTED, UNREAD

USAGE, NOT_POSSIBLE = 2, 3
# All but the tab and the end of a line.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def fail(message: str, code: int = NOT_POSSIBLE) -> NoReturn:
    """Ends the command with the error in one line."""
    report_line(f"error: {' '.join(message.splitlines())}")
    sys.exit(code)


def report_line(line: str) -> None:
    """To the error stream; where that can't be written either, the exit code alone says it."""
    with contextlib.suppress(OSError):
        print(visible(line), file=sys.stderr, flush=True)


def visible(text: str) -> str:
    """A terminal's escape codes, as a folder's name may hold them, are shown and not obeyed."""
    return _CONTROL.sub(lambda code: f"\\x{ord(code[0]):02x}", text)


def sentence(error: OSError) -> str:
    """What the system refused. What names no file is the output, as files are written by
    `benchmarks.records.files`, which names them."""
    if error.strerror is None:
        return str(error) or type(error).__name__
    where = "the output" if error.filename is None else os.fsdecode(error.filename)
    if error.errno in files.NO_ROOM:
        return (
            f"disk full: {where}: {error.strerror}; free some space, then run the same again "
            "(--resume keeps what a run has measured)"
        )
    return f"{where}: {error.strerror}"


def take_any_name() -> None:
    """What a terminal can't show, such as a name that is no text in its encoding, is printed with
    a backslash: nothing that was measured is lost to a letter."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Whatever stops what is inside ends in SystemExit with its code, and in a line that says
    why."""
    code: str | int | None = None
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # a full disk is found now, and not after the exit code
        if signals.exit_code() is None:
            return
        signals.settle()
    except BaseException as error:
        signals.settle()
        code = _code(error)
    sys.exit(code if signals.exit_code() is None else signals.exit_code())


def _code(error: BaseException) -> str | int | None:
    """The exit code; all but a verdict is reported."""
    import click

    if isinstance(error, click.Abort):
        error = error.__cause__ or KeyboardInterrupt()  # click's word for two kinds of error
    match error:
        case SystemExit():
            return error.code
        case click.exceptions.Exit():
            return error.exit_code
        case KeyboardInterrupt():
            report_line("interrupted")
            return INTERRUPTED
        case click.ClickException():
            with contextlib.suppress(OSError):
                error.show()
            return error.exit_code
        case BrokenPipeError() if _unread():
            return UNREAD
        case OSError():
            _silence(sys.stdout)
            text, code = sentence(error), NOT_POSSIBLE
        case folders.Refused():
            text, code = str(error), USAGE
        case record_files.RecordError():
            text, code = str(error), NOT_POSSIBLE
        case _:
            with contextlib.suppress(OSError):
                traceback.print_exception(error)
            text = f"the command itself failed: {type(error).__name__}: {error}"
            code = NOT_POSSIBLE
    report_line(f"error: {' '.join(text.splitlines())}")
    return code


def _unread() -> bool:
    """Whether nobody reads the output any more; the broken pipe may as well lead to a process of
    ours that died, which is an error."""
    gone = [stream for stream in (sys.stdout, sys.stderr) if _is_broken(stream)]
    for stream in gone:
        _silence(stream)
    return bool(gone)


def _is_broken(stream: IO[str] | None) -> bool:
    try:
        asked = select.poll()
        asked.register(stream.fileno() if stream else -1, 0)
        return any(state & select.POLLERR for _, state in asked.poll(0))
    except (OSError, ValueError):
        return False  # no file, as in a test


def _silence(stream: IO[str] | None) -> None:
    """What is left of its buffer would fail again when Python ends, with an exit code of its
    own."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()  # type: ignore[union-attr]
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())  # type: ignore[union-attr]
        os.close(null)
