"""A whole gate with a stand-in for the timing: every outcome has its exit code and its record."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.gate import (
    packages,
    session,
    throttle,
    timing,
    validity_checks,
    worker,
)
from benchmarks.gate.decision import Judgement, Rule, Sample
from benchmarks.gate.records import GateEnd, GateStart, GateVerdict, read
from benchmarks.gate.session import FINE, NOT_MEASURED, REGRESSION, Asked, run
from benchmarks.gate.timing import CaseRun, Timed
from benchmarks.gate.trees import Trees
from benchmarks.records.loading import RecordError
from benchmarks.snapshots.exact.check import ExactOutcome
from reports.gate import inconclusive, reading
from suites.interval import Interval

ROOT = Path(__file__).resolve().parents[3]
TREES = Trees(ROOT, ROOT, "HEAD", "HEAD", False, "HEAD")


def asked(**other: Any) -> Asked:
    plain = Asked("smoke", "cpu", 0, 1, Rule(), "marginbench gate", whole=True)
    return dataclasses.replace(plain, **other)


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch):
    """Makes the timing say these verdicts, in turn over the cases."""

    def say(*verdicts: str) -> None:
        def compare(trees, cases, rule, **rest) -> list[Timed]:
            found = []
            for i, case in enumerate(cases):
                word = verdicts[i % len(verdicts)]
                known = word not in ("WRONG", "NOT MEASURED")
                ratio = Interval(1.01, 1.0, 1.02, 20) if known else None
                sample = CaseRun(case, Sample(rule, "screen", len(cases)))
                found.append(Timed(case, Judgement(word, "because", ratio), sample))
            return found

        monkeypatch.setattr(timing, "compare", compare)

    return say


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (("EQUIVALENT",), FINE), (("FASTER", "EQUIVALENT"), FINE),
        (("EQUIVALENT", "SLOWER"), REGRESSION), (("WRONG", "EQUIVALENT"), REGRESSION),
        (("INCONCLUSIVE", "EQUIVALENT"), NOT_MEASURED),
        (("NOT MEASURED", "EQUIVALENT"), NOT_MEASURED),
        (("SLOWER", "INCONCLUSIVE"), REGRESSION),
    ],
)  # fmt: skip
def test_exit_codes(saying, tmp_path: Path, verdicts: tuple[str, ...], code: int):
    saying(*verdicts)
    outcome = run(asked(), TREES, tmp_path)
    assert outcome.code == code, outcome.sentence
    lines = list(read(outcome.records))
    assert isinstance(lines[0], GateStart)
    assert isinstance(lines[-1], GateEnd)
    assert lines[-1].exit_code == code
    found = [line.verdict for line in lines if isinstance(line, GateVerdict)]
    assert set(found) == set(verdicts)


def test_an_empty_selection_is_no_pass(saying, tmp_path: Path):
    saying("EQUIVALENT")
    outcome = run(asked(only="no such case"), TREES, tmp_path)
    assert outcome.code == NOT_MEASURED
    assert "no timed case" in outcome.sentence


def test_nothing_asked_is_no_pass(tmp_path: Path):
    assert run(asked(timed=False), TREES, tmp_path).code == NOT_MEASURED


@pytest.mark.parametrize(("side", "code"), [("base", NOT_MEASURED), ("candidate", REGRESSION)])
def test_a_tree_that_does_not_load(tmp_path: Path, side: str, code: int):
    """A base that can't be built is nothing to compare with; a candidate that can't is worse."""
    outcome = run(asked(), dataclasses.replace(TREES, **{side: tmp_path}), tmp_path / "out")
    assert outcome.code == code
    assert "kernels/" in outcome.sentence


def test_other_pinned_versions_are_not_timed(saying, tmp_path: Path):
    saying("EQUIVALENT")
    other = tmp_path / "base"
    other.mkdir()
    (other / "kernels").symlink_to(ROOT / "kernels")
    (other / "requirements.lock").write_text("torch==1.0\n")
    outcome = run(asked(), dataclasses.replace(TREES, base=other), tmp_path / "out")
    assert outcome.code == NOT_MEASURED
    assert "the base pins torch 1.0" in outcome.sentence


def exact_outcome(code: int, said: list[str]) -> Any:
    return ExactOutcome(code, problems=said)


@pytest.mark.parametrize(("code", "said"), [(0, []), (1, ["peak_bytes drifted"]),
                                            (3, ["a row vanished"])])  # fmt: skip
def test_the_exact_half_counts(saying, tmp_path: Path, code: int, said: list[str]):
    saying("EQUIVALENT")
    outcome = run(asked(exact=lambda base: exact_outcome(code, said)), TREES, tmp_path)
    assert outcome.code == code, outcome.sentence


def test_a_lost_timed_case_is_no_pass(saying, tmp_path: Path, monkeypatch):
    saying("EQUIVALENT")
    monkeypatch.setattr(session.inventory, "read", lambda *_: [*session.inventory.declared(), "x"])
    outcome = run(asked(exact=lambda base: exact_outcome(0, [])), TREES, tmp_path)
    assert outcome.code == NOT_MEASURED
    assert "vanished: x" in outcome.sentence


@pytest.mark.parametrize(
    ("pinned", "code"), [("there", NOT_MEASURED), ("taken off", FINE), ("no list", NOT_MEASURED)]
)
def test_a_case_on_one_side_only(saying, tmp_path: Path, monkeypatch, pinned: str, code: int):
    """Lost if the candidate's own list still has it; meant to go if it was taken off the list; and
    without a list nobody knows."""
    saying("EQUIVALENT")
    whole = session.plan("smoke", "cpu")
    monkeypatch.setattr(
        session, "plan", lambda suite, device, name: whole if "base" in name else whole[1:]
    )
    ids = [case.id for case in whole]

    def listed(*_: Path) -> list[str]:
        if pinned == "no list":
            return []
        return ids if pinned == "there" else ids[1:]

    monkeypatch.setattr(session.inventory, "read", listed)
    outcome = run(asked(), TREES, tmp_path)
    assert outcome.code == code, outcome.sentence
    first = next(iter(read(outcome.records)))
    assert isinstance(first, GateStart)
    assert first.unpaired == [f"base: {ids[0]}"]
    assert first.lost == ([] if pinned == "taken off" else [ids[0]])
    rows = {row.case: row.verdict for row in reading.load(outcome.records).rows()}
    assert rows.get(ids[0]) == (None if pinned == "taken off" else "NOT MEASURED")


def test_a_lost_case_beside_an_inconclusive_one_is_not_let_pass(
    saying, tmp_path: Path, monkeypatch
):
    """A script lets pass what a busy machine leaves inconclusive, and nothing else."""
    saying("EQUIVALENT", "INCONCLUSIVE")
    assert run(asked(), TREES, tmp_path / "busy").code == NOT_MEASURED
    assert inconclusive.main([str(tmp_path / "busy")]) == 0
    whole = session.plan("smoke", "cpu")
    monkeypatch.setattr(
        session, "plan", lambda suite, device, name: whole if "base" in name else whole[:-1]
    )
    assert run(asked(), TREES, tmp_path / "lost").code == NOT_MEASURED
    assert inconclusive.main([str(tmp_path / "lost")]) == 1
    assert inconclusive.main([str(tmp_path / "nothing here")]) == 3


def test_an_empty_list_of_timed_cases_is_none(saying, tmp_path: Path, monkeypatch):
    saying("EQUIVALENT")
    assert session.inventory.read(tmp_path) == []
    real = session.inventory.read
    monkeypatch.setattr(session.inventory, "read", lambda *_: real(tmp_path))
    outcome = run(asked(exact=lambda base: exact_outcome(0, [])), TREES, tmp_path / "out")
    assert outcome.code == NOT_MEASURED
    assert "no list of timed cases is pinned" in outcome.sentence


def test_the_times_of_a_throttled_gpu_are_void(monkeypatch):
    for name in (packages.BASE, packages.CANDIDATE):
        packages.load(ROOT, name)
    monkeypatch.setattr(worker, "throttled", lambda device: throttle.describe(0x40))
    for check in ("check_before", "check_after"):  # what they find is not what is asked here
        monkeypatch.setattr(validity_checks, check, lambda *_: None)
    case = session.plan("smoke", "cpu")[0]
    ask = worker.WorkerRequest((ROOT, ROOT), "screen", (case,), Rule(stage_s=0.05), 1, 0, 1)
    found = worker._measure(ask, case, SimpleNamespace(send=lambda message: None))
    assert found["side"] == "unknown"
    assert "hardware thermal slow-down" in found["reason"]


def test_only_what_slows_a_gpu_bars_its_times():
    assert throttle.describe(0x01 | 0x02) == ""  # idle, and clocks set by the user
    assert "power brake" in throttle.describe(0x80)


def test_records_are_never_written_over(saying, tmp_path: Path):
    saying("EQUIVALENT")
    run(asked(), TREES, tmp_path)
    with pytest.raises(FileExistsError):
        run(asked(), TREES, tmp_path)


def test_a_killed_gate_has_no_verdict(saying, tmp_path: Path):
    saying("EQUIVALENT")
    path = run(asked(), TREES, tmp_path).records
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match="cut off"):
        list(read(path))


def dies(pair: Any, _: float) -> None:
    os._exit(9)


def raises(pair: Any, _: float) -> None:
    raise RuntimeError("out of patience")


@pytest.mark.parametrize(("plant", "said"), [("dies", "code 9"), ("raises", "out of patience")])
def test_a_process_that_ends_is_a_case_not_measured(plant: str, said: str):
    """Every case has its own reason, and the rest go on in another process."""
    cases = session.plan("smoke", "cpu")[:2]
    found = timing.compare((ROOT, ROOT), cases, Rule(stage_s=0.2), seed=0, threads=1,
                           plant=(f"{__name__}:{plant}", 0.0))  # fmt: skip
    assert [one.judgement.verdict for one in found] == ["NOT MEASURED"] * 2
    assert all(said in one.judgement.reason for one in found)


@pytest.mark.parametrize(("ended", "blamed"), [(True, 1), (False, 0)])
def test_a_process_that_ends_between_two_cases_is_the_next_ones_fault(ended: bool, blamed: int):
    cases = tuple(session.plan("smoke", "cpu")[:2])
    ask = worker.WorkerRequest((ROOT, ROOT), "screen", cases, Rule(), 2, 0, 1)
    runs = [dataclasses.replace(timing.fresh(ask, cases[0]), ended=ended)]
    timing._blame(ask, runs, "gone")
    assert [run.case for run in runs if run.reason] == [cases[blamed]]


def test_the_second_process_loads_the_candidate_first():
    """Whatever depends on who came first turns round between screen and confirmation."""
    heard = []

    class Parent:
        def send(self, message: Any) -> None:
            heard.append(message)

    missing = (Path("/nowhere/base"), Path("/nowhere/candidate"))
    for stage, first in (("screen", "base"), ("confirmation", "candidate")):
        ask = worker.WorkerRequest(missing, stage, (), Rule(), 1, 0, 1)  # type: ignore[arg-type]
        worker.run(ask, Parent())  # type: ignore[arg-type]
        assert heard[-1][1]["side"] == first


class OldAndNew:
    """NVML as it names the reasons today; older ones say Throttle for Event."""

    def __init__(self, name: str) -> None:
        setattr(self, f"nvmlDeviceGetCurrentClocks{name}Reasons", lambda gpu: 0x40)


@pytest.mark.parametrize("name", ["Event", "Throttle"])
def test_the_reasons_are_read_by_either_name_of_nvml(monkeypatch, name: str):
    found = contextlib.nullcontext((OldAndNew(name), None))
    monkeypatch.setattr(throttle.machine, "nvml", lambda: found)
    assert "hardware thermal slow-down" in throttle.throttled("cuda")
    monkeypatch.setattr(throttle.machine, "nvml", lambda: contextlib.nullcontext((None, None)))
    assert throttle.throttled("cuda") == throttle.throttled("cpu") == ""
