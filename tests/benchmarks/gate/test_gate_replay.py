"""A verdict follows from the record's own groups, or the record was edited."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from synthetic_run import unprotected

from benchmarks.gate import session, timing
from benchmarks.gate.abba import Group
from benchmarks.gate.decision import Rule, Sample
from benchmarks.gate.session import Asked
from benchmarks.gate.timing import CaseRun
from benchmarks.gate.trees import Trees
from benchmarks.records.loading import RecordError
from commands.root import cli
from reports.gate import inconclusive, reading, replay

ROOT = Path(__file__).resolve().parents[3]
TREES = Trees(ROOT, ROOT, "HEAD", "HEAD", False, "HEAD")


def groups(random: np.random.Generator, slower: float, spread: float) -> list[Group]:
    """Enough to settle a case, of one block each, nanoseconds of a millisecond's legs."""
    found = []
    for number in range(60):
        legs = 1e6 * np.exp(spread * random.normal(size=4))
        base = (int(legs[0]), int(legs[1]))
        candidate = (int(legs[2] * (1 + slower)), int(legs[3] * (1 + slower)))
        found.append(Group(number, 1, ("ABBA",), (base,), (candidate,)))
    return found


@pytest.fixture
def gate(tmp_path: Path, monkeypatch, seed: int):
    """Runs a gate whose cases are so much slower, through the real rule, records and verdicts."""
    random = np.random.default_rng(seed)

    def run(*slower: float, spread: float = 0.004) -> Path:
        def compare(trees, cases, rule, *, report, **rest):
            def taken(case, stage: str, by: float) -> CaseRun:
                found = CaseRun(case, Sample(rule, stage, len(cases)), seconds=1.0)
                for group in groups(random, by, spread):
                    found.groups.append(group)
                    found.sample.add(group.log_ratio)
                    report("group", {"stage": stage, "case": case.id, **group.__dict__})
                return found

            by = {case.id: slower[i % len(slower)] for i, case in enumerate(cases)}
            screens = [taken(case, "screen", by[case.id]) for case in cases]
            flagged = [s for s in screens if s.sample.finding in ("SLOWER", "FASTER")]
            again = {s.case.id: taken(s.case, "confirmation", by[s.case.id]) for s in flagged}
            return timing.judged(screens, again, len(cases))

        monkeypatch.setattr(timing, "compare", compare)
        asked = Asked("smoke", "cpu", 0, 1, Rule(), "marginbench gate", whole=True)
        session.run(asked, TREES, tmp_path)
        return tmp_path

    return run


def edit(folder: Path, kind: str, **change) -> None:
    path = folder / "gate.jsonl"
    lines = [json.loads(line) for line in unprotected(path.read_text()).splitlines()]
    first = next(line for line in lines if line["kind"] == kind)
    first |= change
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("group", {"base": [[0, 5]]}, "greater than 0"), ("group", {"calls": 0}, "greater than 0"),
        ("group", {"base": [], "candidate": [], "orders": []}, "at least 1 item"),
        ("group", {"base": [[1, 2], [3, 4]]}, "expected as many blocks"),
        ("gate_start", {"rule": {**vars(Rule()), "equivalence_error": 0.0}}, "can't be worked out"),
        ("gate_start", {"rule": {**vars(Rule()), "smallest_effect": "much"}}, "can't be worked"),
    ],
)  # fmt: skip
def test_what_no_verdict_follows_from_is_not_measured(gate, kind: str, change: dict, said: str):
    """Never a traceback, whose exit code 1 would say that something is slower."""
    folder = gate(0.0)
    edit(folder, kind, **change)
    shown = CliRunner().invoke(cli, ["gate", "--show", str(folder)])
    assert (shown.exit_code, shown.exception.__class__) == (3, SystemExit), shown.output
    assert said in shown.output


def test_a_record_that_can_not_be_opened_is_not_measured(gate, monkeypatch):
    folder = gate(0.0)

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "open", refused)
    shown = CliRunner().invoke(cli, ["gate", "--show", str(folder)])
    assert shown.exit_code == 3, shown.output


def test_a_change_without_its_confirmation_is_no_equivalence(gate):
    """A slow-down of 1.5% is within the smallest effect, and was flagged all the same."""
    folder = gate(0.015, spread=0.0005)
    path = folder / "gate.jsonl"
    lines = [json.loads(line) for line in unprotected(path.read_text()).splitlines()]
    assert any(line.get("stage") == "confirmation" for line in lines)
    kept = [line for line in lines if line.get("stage") != "confirmation"]
    for line in kept:
        if line["kind"] == "verdict":
            line["verdict"] = "EQUIVALENT"
        elif line["kind"] == "gate_end":
            line["exit_code"] = 0
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    with pytest.raises(RecordError, match="its groups give NOT MEASURED"):
        replay.check(reading.load(path))


@pytest.mark.parametrize("slower", [(0.0,), (0.1, 0.0), (-0.1, 0.02)])
def test_what_the_gate_wrote_follows(gate, slower):
    replay.check(reading.load(gate(*slower) / "gate.jsonl"))


def test_an_edited_verdict_is_found(gate):
    folder = gate(0.1, 0.0)
    edit(folder, "verdict", verdict="EQUIVALENT")
    # And all others that are slower, with the exit code.
    lines = unprotected((folder / "gate.jsonl").read_text()).replace('"SLOWER"', '"EQUIVALENT"')
    (folder / "gate.jsonl").write_text(lines.replace('"exit_code": 1', '"exit_code": 0'))
    with pytest.raises(RecordError, match="its groups give SLOWER"):
        replay.check(reading.load(folder / "gate.jsonl"))


def test_an_edited_ratio_is_found(gate):
    folder = gate(0.0)
    edit(folder, "verdict", ratio=1.0)
    with pytest.raises(RecordError, match="its groups give a ratio"):
        replay.check(reading.load(folder / "gate.jsonl"))


def test_edited_groups_are_found(gate):
    folder = gate(0.0)
    path = folder / "gate.jsonl"
    changed = [json.loads(line) for line in unprotected(path.read_text()).splitlines()]
    for line in changed:
        if line["kind"] == "group":
            line["candidate"] = [[2 * leg for leg in block] for block in line["candidate"]]
    path.write_text("".join(json.dumps(line) + "\n" for line in changed))
    with pytest.raises(RecordError, match="changed by hand"):
        replay.check(reading.load(folder / "gate.jsonl"))


def test_another_schema_is_named(gate):
    folder = gate(0.0)
    edit(folder, "gate_start", schema_version=0)
    with pytest.raises(RecordError, match="expected schema version 1 or 2; got 0"):
        reading.load(folder / "gate.jsonl")


def test_show_checks_and_gives_the_gates_code(gate):
    folder = gate(0.1, 0.0)
    shown = CliRunner().invoke(cli, ["gate", "--show", str(folder)])
    assert shown.exit_code == 1
    assert "SLOWER" in shown.output
    edit(folder, "verdict", ratio=1.0)
    assert CliRunner().invoke(cli, ["gate", "--show", str(folder)]).exit_code == 3


def test_only_inconclusive_is_distinguished_from_all_else(gate, tmp_path: Path):
    assert inconclusive.only_inconclusive(reading.load(gate(0.0, spread=0.6) / "gate.jsonl"))
    (tmp_path / "gate.jsonl").unlink()
    assert not inconclusive.only_inconclusive(reading.load(gate(0.0) / "gate.jsonl"))
    (tmp_path / "gate.jsonl").unlink()
    assert not inconclusive.only_inconclusive(reading.load(gate(0.1, 0.0) / "gate.jsonl"))
