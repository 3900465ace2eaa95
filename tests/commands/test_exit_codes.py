"""Every command, in everything that may stop it: one table of exit codes and of what is said.

The codes are those of docs/suite.md; 1 is a verdict's, and nothing here is one.
"""

from __future__ import annotations

import builtins
import errno
import logging
import os
import pwd
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from ending_commands import (
    CALLS,
    WRITING,
    Ended,
    Machine,
    every_command,
    interrupted,
    more_stand_ins,
    refusing,
)

from benchmarks import notices
from benchmarks.gate import trees
from benchmarks.training import tracking

_ALONE = trees.alone
OPEN = Path.open
REAL = {"sync": tracking.sync, "export": tracking.export}
# What appends lines, writes a file as text, and opens MLflow's store.
LINES = {"run", "quality run", "quality recipe", "gate", "gate-trust"}
TEXTS = {"quality export", "quality publish"}
STORES = {"quality sync", "quality export", "quality publish"}
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:
        more_stand_ins(patch)
        yield Machine(tmp_path_factory.mktemp("machine"))


def as_it_is(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    return machine.call(command)


def unwritable(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    patch.setattr(Path, "write_bytes", refusing(errno.EACCES))
    return machine.call(command)


def full_disk(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    patch.setattr(Path, "write_bytes", refusing(errno.ENOSPC))
    return machine.call(command)


def unwritable_lines(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    patch.setattr(os, "write", refusing(errno.EACCES))
    return machine.call(command)


def full_disk_for_lines(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    patch.setattr(os, "write", refusing(errno.ENOSPC))
    return machine.call(command)


def unwritable_texts(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    _open_texts(patch, lambda path, mode: refusing(errno.EACCES)())
    return machine.call(command)


def full_disk_for_texts(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    _open_texts(patch, lambda path, mode: OPEN(Path("/dev/full"), mode))
    return machine.call(command)


def _open_texts(patch: Patch, instead: Callable[[Path, str], Any]) -> None:
    """As text, to write: by `Path.write_text` as by `Path.open`; `Path.write_bytes` is as ever."""

    def opened(path: Path, mode: str = "r", *rest: Any, **given: Any) -> Any:
        text = "b" not in mode and set(mode) & set("wax+")
        return instead(path, mode) if text else OPEN(path, mode, *rest, **given)

    patch.setattr(Path, "open", opened)


def store_that_can_not_be_opened(
    machine: Machine, command: str, tmp_path: Path, patch: Patch
) -> Ended:
    def connect(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    store = tmp_path / "mlflow.db"
    store.touch()
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    for name, function in REAL.items():
        patch.setattr(tracking, name, function)
    for name in ("sqlite3.connect", "sqlite3.dbapi2.connect"):
        patch.setattr(name, connect)
    return machine.call(command)


def full_output(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    return machine.call(command, out="/dev/full")


def no_git(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    patch.setenv("PATH", str(tmp_path))
    patch.setattr(trees, "alone", _ALONE)
    return machine.call(command)


def no_home(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "XDG_CACHE_HOME", "MARGINBENCH_CACHE", "USER", "LOGNAME"):
        patch.delenv(name, raising=False)
    patch.setattr(pwd, "getpwuid", nobody)
    return machine.call(command)


def read_only_home(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    """Without a cache in it."""
    home, make = _home(tmp_path, patch), Path.mkdir

    def refused(path: Path, *rest: Any, **given: Any) -> None:
        if path.is_relative_to(home):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        make(path, *rest, **given)

    patch.setattr(Path, "mkdir", refused)
    return _with_a_temporary_cache(machine, command, tmp_path)


def read_only_cache(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    _read_only(_home(tmp_path, patch) / ".cache" / "marginbench", patch)
    return _with_a_temporary_cache(machine, command, tmp_path)


def read_only_cache_that_was_asked_for(
    machine: Machine, command: str, tmp_path: Path, patch: Patch
) -> Ended:
    patch.setenv("MARGINBENCH_CACHE", str(tmp_path / "asked"))
    _read_only(tmp_path / "asked", patch)
    return machine.call(command)


def _home(tmp_path: Path, patch: Patch) -> Path:
    for name in ("XDG_CACHE_HOME", "MARGINBENCH_CACHE"):
        patch.delenv(name, raising=False)
    home, there = tmp_path / "home", tmp_path / "temporary"
    there.mkdir()
    patch.setenv("HOME", str(home))
    patch.setattr(tempfile, "tempdir", str(there))
    return home


def _read_only(folder: Path, patch: Patch) -> None:
    """For the tests may be run by root, who may write everywhere."""
    access = os.access
    patch.setattr(os, "access", lambda path, mode: path != folder and access(path, mode))


def _with_a_temporary_cache(machine: Machine, command: str, tmp_path: Path) -> Ended:
    """A notice says where it is, of the one command that takes a cache in this process."""
    notices.warn_once.cache_clear()
    said: list[str] = []
    hearing = logging.Handler()
    hearing.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    notices.LOGGER.addHandler(hearing)
    try:
        ended = machine.call(command)
    finally:
        notices.LOGGER.removeHandler(hearing)
    given = f"what is made is kept in {tmp_path / 'temporary' / 'marginbench'}"
    assert [given in text for text in said] == [True] * (command == "static"), said
    return ended


def ascii_terminal(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    return machine.call(command, encoding="ascii")


def latin_1_terminal(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    ended = machine.call(command, encoding="latin-1")
    assert r"\xe9" not in ended.out + ended.err, "a letter that it has"
    return ended


def name_that_is_no_text(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    return machine.call(command, folder=tmp_path / os.fsdecode(b"caf\xe9"))


def interrupt_at_the_first_import(
    machine: Machine, command: str, tmp_path: Path, patch: Patch
) -> Ended:
    importing = builtins.__import__

    def stopped(name: str, given: dict | None = None, *rest: object) -> object:
        name_of_ours = (given or {}).get("__name__", "")
        if name_of_ours.startswith("commands.") and name_of_ours != "commands.entry":
            patch.setattr(builtins, "__import__", importing)
            raise KeyboardInterrupt
        return importing(name, given, *rest)

    patch.setattr(builtins, "__import__", stopped)
    return machine.call(command)


def interrupt_while_a_page_is_written(
    machine: Machine, command: str, tmp_path: Path, patch: Patch
) -> Ended:
    patch.setattr(Path, "write_bytes", interrupted)
    return machine.call(command)


def interrupt_as_it_prints(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    patch.setattr(click, "echo", interrupted)
    patch.setattr("rich.console.Console.print", interrupted)
    return machine.call(command)


@dataclass(frozen=True)
class Expected:
    """``code`` and the last line of the error stream, of the commands ``of`` (None: of all); the
    others end as ever."""

    situation: Callable[[Machine, str, Path, Patch], Ended]
    code: int
    says: str = ""
    of: set[str] | None = None


TABLE = (
    Expected(as_it_is, 0),
    Expected(unwritable, 3, "error: ...Permission denied", WRITING),
    Expected(full_disk, 3, "error: ...No space left on device", WRITING),
    Expected(unwritable_lines, 3, "error: ...Permission denied", LINES),
    Expected(full_disk_for_lines, 3, "error: disk full: ...No space left on device", LINES),
    Expected(unwritable_texts, 3, "error: ...Permission denied", TEXTS),
    Expected(full_disk_for_texts, 3, "error: ...No space left on device", TEXTS),
    Expected(store_that_can_not_be_opened, 3, "...unable to open database file", STORES),
    Expected(read_only_home, 0),
    Expected(read_only_cache, 0),
    Expected(read_only_cache_that_was_asked_for, 3, "error: ...Permission denied", {"static"}),
    Expected(full_output, 3, "error: disk full: the output: No space left on device"),
    Expected(no_git, 3, "error: not measured: git rev-parse: ", {"gate", "gate-trust"}),
    Expected(no_home, 0),
    Expected(ascii_terminal, 0),
    Expected(latin_1_terminal, 0),
    Expected(name_that_is_no_text, 0),
    Expected(interrupt_at_the_first_import, 130, "interrupted", set(CALLS) - {"quality ui"}),
    Expected(interrupt_while_a_page_is_written, 130, "interrupted", WRITING),
    Expected(interrupt_as_it_prints, 130, "interrupted"),
)


def test_the_table_has_every_command():
    """A new command is put into `ending_commands.CALLS`, and so into every situation."""
    assert set(every_command()) == set(CALLS)


@pytest.mark.parametrize("expected", TABLE, ids=lambda one: one.situation.__name__)
@pytest.mark.parametrize("command", CALLS)
def test_what_stops_a_command_has_its_code_and_one_line(
    machine: Machine, tmp_path: Path, monkeypatch: Patch, command: str, expected: Expected
):
    ended = expected.situation(machine, command, tmp_path, monkeypatch)
    stopped = expected.code and (expected.of is None or command in expected.of)
    assert ended.code == (expected.code if stopped else 0), ended
    assert "Traceback" not in ended.err and "Traceback" not in ended.out
    if stopped:
        before, _, after = expected.says.partition("...")
        last = ended.err.splitlines()[-1]
        assert last.startswith(before) and after in last, last
        # What names no file is taken for the output.
        assert ("the output" in last) == (expected.situation is full_output), last
    else:
        assert not any(line.startswith("error: ") for line in ended.err.splitlines()), ended.err
