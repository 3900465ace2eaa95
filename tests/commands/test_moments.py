"""A signal at each moment that a command may be in: its exit code, one line, whole lines in the
record, and nothing half made.

In this process, at the very call that the moment is about; `test_interrupts` sends signals to
processes of their own.
"""

from __future__ import annotations

import builtins
import errno
import json
import os
import pkgutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ending_commands import Machine, more_stand_ins, refusing

from benchmarks.gate import trees
from benchmarks.records.record_files import FILE
from benchmarks.run import session
from benchmarks.training import tracking
from benchmarks.training.tracking import mirror

Patch = pytest.MonkeyPatch
Send = Callable[[], None]
Prepare = Callable[[Patch, Send], None]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A second case beside the one that `run` is called with, and no contender that is compiled.
TWO_CASES = ("--case", "agreement/softmax/linear/B3-D2-C2/float32/cpu/drawn/s0",
             "--contender", "eager")  # fmt: skip
REAL = ((session, "run", session.run), (trees, "alone", trees.alone),
        (tracking, "sync", tracking.sync))  # fmt: skip


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:
        more_stand_ins(patch)
        for module, name, function in REAL:
            patch.setattr(module, name, function)
        patch.setattr(session, "cold_caches", nullcontext)  # nothing here is compiled
        store = SimpleNamespace(complete=dict, check=lambda: None)
        patch.setattr(mirror, "Store", lambda *_: store)
        yield Machine(tmp_path_factory.mktemp("machine"))


def at(place: str, *, after: bool = False, when: Callable[..., bool] = lambda *_: True) -> Prepare:
    """The first call of ``place``, a module and a name in it, whose arguments are as ``when`` says.
    The signal comes before it, or ``after`` it."""

    def prepare(patch: Patch, send: Send) -> None:
        called, waiting = pkgutil.resolve_name(place), [send]

        def reached(*given: Any, **named: Any) -> Any:
            here = [waiting.pop()] if waiting and when(*given) else []
            for each in here if not after else ():
                each()
            returned = called(*given, **named)
            for each in here if after else ():
                each()
            return returned

        patch.setattr(place.replace(":", "."), reached)

    return prepare


def during_imports(patch: Patch, send: Send) -> None:
    importing = builtins.__import__

    def reached(name: str, given: dict | None = None, *rest: object) -> object:
        if (given or {}).get("__name__") == "commands.entry":
            patch.setattr(builtins, "__import__", importing)
            send()
        return importing(name, given, *rest)

    patch.setattr(builtins, "__import__", reached)


def in_half_a_line(patch: Patch, send: Send) -> None:
    write = os.write

    def reached(file: int, data: bytes) -> int:
        if b'"kind":"result"' in data:
            patch.setattr(os, "write", write)
            write(file, data[: len(data) // 2])
            send()
        return write(file, data)

    patch.setattr(os, "write", reached)


@dataclass(frozen=True)
class Moment:
    """``kept``: how many lines of each kind are in the run's record then."""

    name: str
    command: str
    reached: Sequence[Prepare]
    kept: dict[str, int] | None = None


def put_in_place(name: str) -> Callable[..., bool]:
    return lambda temporary, path: Path(path).name == name


CASE = at("benchmarks.records.journal:Journal.results")
MOMENTS = (
    Moment("imports", "list", [during_imports]),
    Moment("before the first line", "run", [at("benchmarks.records.journal:Journal.start")], {}),
    Moment("in a case", "run", [CASE], {"session": 1}),
    Moment("between cases", "run", [at("benchmarks.records.journal:Journal.end_case", after=True)],
           {"session": 1, "case_end": 1}),
    Moment("in half a line", "run", [in_half_a_line], {"session": 1}),
    Moment("as a page is drawn", "report", [at("reports.output:drawn")]),
    Moment("before a page is put in its place", "report",
           [at("pathlib:Path.replace", when=put_in_place("index.html"))]),
    Moment("after a page is put in its place", "report",
           [at("pathlib:Path.replace", when=put_in_place("index.html"), after=True)]),
    Moment("as MLflow is sent to", "quality sync",
           [at("benchmarks.training.tracking.mirror:Mirror._written")]),
    Moment("as git is asked", "gate", [at("subprocess:Popen.communicate")]),
    Moment("twice, in a case and as its interpreter is ended", "run",
           [CASE, at("benchmarks.run.interpreted:Interpreter.close")], {"session": 1}),
    Moment("twice, in a case and as the page is drawn", "run",
           [CASE, at("reports.output:drawn")], {"session": 1}),
    Moment("twice, in imports and as that is said", "list",
           [during_imports, at("commands.endings:report_line")]),
    Moment("twice, as a page is drawn and as that is said", "report",
           [at("reports.output:drawn"), at("commands.endings:report_line")]),
)  # fmt: skip


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.name)
def test_a_signal_at_any_moment_has_its_code(
    machine: Machine, tmp_path: Path, monkeypatch: Patch, moment: Moment, number: signal.Signals
):
    sent: list[int] = []

    def send() -> None:
        sent.append(number)
        signal.raise_signal(number)

    for prepare in moment.reached:
        prepare(monkeypatch, send)
    also = TWO_CASES if moment.command == "run" else ()
    ended = machine.call(moment.command, folder=tmp_path, also=also)
    assert len(sent) == len(moment.reached), f"never reached; {ended}"
    assert ended.code == 128 + number and "Traceback" not in ended.out + ended.err, ended
    said = [line for line in ended.err.splitlines() if line.startswith("interrupted")]
    assert said == ended.err.splitlines()[-1:], ended.err
    assert not list(tmp_path.rglob(f".*.{os.getpid()}")), "left half made"
    if moment.kept is not None:
        assert kept(tmp_path / "made" / FILE) == moment.kept


def kept(path: Path) -> dict[str, int]:
    """How many lines of each kind, all of them whole; of results, how many is their case's
    matter."""
    text = path.read_text() if path.exists() else ""  # stopped before its first line
    assert not text or text.endswith("\n")
    kinds = [json.loads(line)["kind"] for line in text.splitlines()]
    return {kind: kinds.count(kind) for kind in kinds if kind != "result"}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_as_a_site_is_put_in_its_place_leaves_a_whole_one(
    machine: Machine, tmp_path: Path, monkeypatch: Patch, number: signal.Signals, after: bool
):
    """The old one is moved away first."""
    assert machine.call("publish", folder=tmp_path).code == 0
    before = files(tmp_path / "made")
    at("pathlib:Path.rename", after=after)(monkeypatch, lambda: signal.raise_signal(number))
    ended = machine.call("publish", folder=tmp_path)
    assert ended.code == 128 + number and ended.err.splitlines()[-1] == "interrupted", ended
    assert files(tmp_path / "made") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["STORE", "made"]


def test_an_error_as_a_site_is_put_in_its_place_leaves_the_old_one(
    machine: Machine, tmp_path: Path, monkeypatch: Patch
):
    assert machine.call("publish", folder=tmp_path).code == 0
    before = files(tmp_path / "made")
    at("pathlib:Path.rename", after=True)(monkeypatch, refusing(errno.EIO))
    ended = machine.call("publish", folder=tmp_path)
    assert ended.code == 3 and ended.err.splitlines()[-1].startswith("error: "), ended
    assert files(tmp_path / "made") == before


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}  # fmt: skip
