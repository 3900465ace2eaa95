"""Every command of the command line, called once as it is meant, with stand-ins for what takes
long; and the streams and signals that it may end by."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from writing_commands import MAKERS, WRITERS, Bench, stand_ins

from benchmarks import signals
from benchmarks.sanitizer import sanitize
from benchmarks.snapshots import pin_files, pins, static_matrix
from benchmarks.training import again, listing, tracking
from benchmarks.training.tracking import Outcome
from commands import entry
from commands.quality import ui
from commands.root import cli
from reports.site import verifying

# What each is called with; {} is a folder that it makes, or one that `Bench` has.
_OTHERS: Mapping[str, Sequence[str]] = {
    "check-log": (
        "check-log", "--loss", "cosface", "--classes", "1000", "--dim", "512", "--scale", "16",
        "12.76",
    ),
    "doctor": ("doctor",),
    "list": ("list",),
    "report": ("report", "RUN"),
    "sanitize": ("sanitize", "--only", "triplet"),
    "static": ("static", "--target", "sm_90", "--kernel", "center"),
    "verify": ("verify", "STORE"),
    "which": ("which", "NormalizedSoftmaxLoss"),
    "quality again": ("quality", "again", "QUALITY", "a training"),
    "quality import": ("quality", "import", "STORE", "--store", "sqlite:///there.db"),
    "quality list": ("quality", "list"),
    "quality report": ("quality", "report", "QUALITY"),
    "quality sync": ("quality", "sync", "QUALITY"),
    "quality ui": ("quality", "ui", "QUALITY"),
}  # fmt: skip
CALLS = _OTHERS | {name: writer.words for name, writer in MAKERS.items() if writer.words[0] != "-m"}
# What writes files into a folder, but for what MLflow is sent.
WRITING = {command for command, _ in WRITERS} - {"gpu", "quality sync"}


def every_command(group: click.Group = cli, above: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, f"{above}{name} ")
        else:
            yield f"{above}{name}"


@dataclass
class Ended:
    code: int
    out: str
    err: str


class Machine:
    """Where commands are called: with streams of a terminal's encoding, or an output that is
    full."""

    def __init__(self, root: Path) -> None:
        self.root, self.bench = root, Bench(root / "bench")
        self._taken = 0

    def call(
        self,
        command: str,
        *,
        folder: Path | None = None,
        encoding: str = "utf-8",
        out: str | None = None,
        also: Sequence[str] = (),
    ) -> Ended:
        """``folder``: where what it reads and makes lies; ``out``: a file that is its output;
        ``also``: words that follow."""
        self._taken += 1
        folder = folder or self.root / f"call-{self._taken}"
        words = [*(self._place(word, folder) for word in CALLS[command]), *also]
        stdout = open(out, "w") if out else _terminal(encoding)  # noqa: PTH123, SIM115  a device
        stderr = _terminal(encoding)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", stdout)
            patch.setattr("sys.stderr", stderr)
            patch.setenv("COLUMNS", "100")
            patch.setattr("sys.argv", ["marginbench", *words])
            code = _code()
        return Ended(code, "" if out else _said(stdout), _said(stderr))

    def _place(self, word: str, folder: Path) -> str:
        if word == "{}":
            return str(folder / "made")
        if word in self.bench.places:
            there = shutil.copytree(self.bench.places[word], folder / word, dirs_exist_ok=True)
            return str(there)
        return word


def _code() -> int:
    """Of the installed command, called in this process; which hears signals as before then."""
    with heard_signals():
        try:
            entry.main()
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 0
        except KeyboardInterrupt:
            return pytest.fail("ended by Python, with a traceback")
    return 0


@contextmanager
def heard_signals() -> Iterator[None]:
    """As a process begins that a shell started, whatever started the tests."""
    begins = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, how) for number, how in begins.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signals, "_asked_by", 0)
        patch.setattr(signals, "_settled", False)
        try:
            yield
        finally:
            for number, how in before.items():
                signal.signal(number, how)


def _terminal(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def _said(stream: Any) -> str:
    """In UTF-8 too where the terminal is said to know ASCII alone: click takes that for a
    mistake."""
    return stream.buffer.getvalue().decode("utf-8" if stream.encoding == "ascii" else
                                           stream.encoding)  # fmt: skip


def more_stand_ins(patch: pytest.MonkeyPatch) -> None:
    """Of the commands that write nowhere a user names; each says a name that is not ASCII."""
    stand_ins(patch)
    name = "café"
    row = sanitize.Row(name, 1, 0, 2, 1, 1, (), "clean")
    patch.setattr(sanitize, "check", lambda *_, **__: (sanitize.Tally(), [row], 0))
    patch.setattr(static_matrix, "compile_matrix", _pinned)
    patch.setattr(listing, "everything", lambda: {
        "datasets": [{"name": name, "missing": "", "why": name}], "losses": [], "backbones": [name],
        "claims": [],
    })  # fmt: skip
    patch.setattr(again, "find", lambda run, name: name)
    patch.setattr(again, "again", lambda *_, **__: again.Compared(0, name, 1, [], [], []))
    patch.setattr(tracking, "import_", lambda *_, **__: Outcome(1, 0))
    patch.setattr(verifying, "verify", lambda folders, report: [
        verifying.Checked("run", Path(name), "same", 1, [], "")
    ])  # fmt: skip
    patch.setattr(ui, "_store", lambda run_dir: "sqlite:///mlflow.db")
    patch.setattr(ui, "_answers", lambda *_: True)
    patch.setattr(ui, "subprocess", SimpleNamespace(Popen=_server))


def _pinned(
    targets: Sequence[str],
    kernels: Sequence[str],
    *,
    dtypes: Sequence[str] = (),
    cache: Path,
    **_: Any,
) -> Any:
    from benchmarks.snapshots.static_check import chosen

    rows = (pins.row_of(one) for one in pin_files.read() if one.kind == pin_files.STATIC)
    return [row for row in rows if chosen(row, targets, kernels, dtypes)]


@contextmanager
def _server(*_: Any, **__: Any) -> Iterator[Any]:
    yield SimpleNamespace(wait=lambda: 0, terminate=lambda: None)


def refusing(number: int) -> Callable[..., None]:
    """What a system says as a file is written: in place of what writes it."""

    def write(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return write


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


__all__ = [
    "CALLS", "WRITING", "Ended", "Machine", "every_command", "interrupted", "more_stand_ins",
    "refusing",
]  # fmt: skip
