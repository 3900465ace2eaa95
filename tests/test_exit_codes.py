"""Every command, in everything that may stop it: one table of exit codes and of what is said.

The codes are those of docs/suite.md; 1 is a verdict's, and nothing here is one.
"""

from __future__ import annotations

import builtins
import errno
import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

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

from benchmarks.gate import trees

_ALONE = trees.alone
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


def ascii_terminal(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    return machine.call(command, encoding="ascii")


def name_that_is_no_text(machine: Machine, command: str, tmp_path: Path, patch: Patch) -> Ended:
    return machine.call(command, folder=tmp_path / os.fsdecode(b"caf\xe9"))


def interrupt_at_the_first_import(
    machine: Machine, command: str, tmp_path: Path, patch: Patch
) -> Ended:
    importing = builtins.__import__

    def stopped(name: str, given: dict | None = None, *rest: object) -> object:
        if (given or {}).get("__name__", "").startswith("commands."):
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
    Expected(full_output, 3, "error: disk full: the output: No space left on device"),
    Expected(no_git, 3, "error: not measured: git rev-parse: ", {"gate", "gate-trust"}),
    Expected(no_home, 0),
    Expected(ascii_terminal, 0),
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
    else:
        assert not any(line.startswith("error: ") for line in ended.err.splitlines()), ended.err
