"""A GPU session without a GPU: its plan, its minutes, its children, its records, its checkers."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_session
from benchmarks.gpu import budget, lanes, telemetry
from benchmarks.gpu.journal import Journal, Refused
from benchmarks.gpu.session import FAILED, FINE, NOT_MEASURED, Session
from benchmarks.instruments.rows import Row
from benchmarks.records.loading import arrange, read_lines
from suites import gpu
from suites.targets import TARGETS

SUPPORT = Path(__file__).parents[2] / "support"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SUPPORT)}


class Time:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def small(**parts: int) -> gpu.Plan:
    """The dry run's plan cut down to so many cases of each part."""
    plan = gpu.plan(dry_run=True)
    return gpu.Plan(
        plan.preset, plan.agreement[: parts.get("agreement", 0)],
        plan.checks[: parts.get("checks", 0)], plan.speed[: parts.get("speed", 0)],
    )  # fmt: skip


def with_child(*behaviours: str, before: Callable[[lanes.Lane], None] = lambda lane: None):
    """Runs lanes as a session does, with `gpu_child` for each of their processes; ``before`` is
    called as a case is handed out."""

    def run(found: list[lanes.Lane], *rest: Any) -> Iterator[lanes.Event]:
        def changed(lane: lanes.Lane) -> lanes.Lane:
            def message(*arguments: Any) -> dict[str, Any]:
                before(lane)
                return lane.message(*arguments)

            command = (sys.executable, str(SUPPORT / "gpu_child.py"), *behaviours)
            return replace(lane, command=command, message=message, environment=ENVIRONMENT)

        return lanes.run([changed(lane) for lane in found], *rest)

    return run


def session(
    out: Path, plan: gpu.Plan, run: Callable, now: Callable[[], float] | None = None
) -> tuple[int, Session]:
    journal = Journal(out, dry_run=True)
    made = Session(
        plan, journal, budget.new(8, now or Time()), "python -m benchmarks.gpu_session", True,
        report=lambda text: None, run_lanes=run, watch=telemetry.Watch(nothing, 0.01),
    )  # fmt: skip
    try:
        return made.run(), made
    finally:
        journal.close()


@contextmanager
def nothing() -> Iterator[tuple[None, None]]:
    yield None, None


def recorded(out: Path):
    """Checked strictly, as a report does, but for a dry run's being none."""
    return arrange(read_lines(out / "records.jsonl"))


def test_the_plan_has_every_variant_and_begins_with_what_decides_a_target():
    plan = gpu.plan()
    assert len({case.id for case in plan.cases}) == len(plan.cases)
    variants = {(case.loss, case.variant) for case in plan.agreement}
    assert {(case.loss, case.variant) for case in plan.speed} == variants
    decided = {target.case for target in TARGETS if target.device == "cuda"}
    assert {case.id for case in plan.speed[: len(decided)]} == decided
    # Cut off after the first shape, agreement has still seen every kernel in every dtype.
    first = plan.agreement[: 3 * len(variants)]
    assert len({(case.loss, case.variant, case.dtype) for case in first}) == 3 * len(variants)
    assert {case.suite for case in plan.checks} == set(gpu.CHECKERS)
    dry = gpu.plan(dry_run=True)
    assert {case.device for case in dry.cases} == {"cpu"}
    assert {(case.loss, case.variant) for case in dry.speed} == variants


def test_the_minutes_are_shared_and_never_overdrawn():
    now = Time()
    minutes = budget.new(8, now)
    assert minutes.end == now.s + 480 - budget.LEAVING_S
    assert minutes.ceilings_end == now.s + budget.CEILINGS_S
    now.s += 40
    assert minutes.checks_end == pytest.approx(now.s + budget.CHECKING * (480 - 8 - 40))
    assert minutes.seconds(2.0, left=300.0, cases=10) == 2.0
    assert minutes.seconds(2.0, left=30.0, cases=20) == pytest.approx(0.5)
    assert minutes.seconds(2.0, left=0.0, cases=20) == pytest.approx(0.3)
    now.s += 1000
    assert minutes.left == 0 and minutes.checks_end == now.s
    short = budget.new(0.05, now)
    assert short.end == short.start == short.ceilings_end


def test_what_does_not_fit_is_dropped_from_the_end_and_said(tmp_path: Path):
    now = Time()

    def spend(lane: lanes.Lane) -> None:
        now.s += 60 if lane.name == "speed" else 0

    code, _ = session(tmp_path, small(speed=12), with_child(before=spend), now)
    run = recorded(tmp_path)
    reasons = {}
    for result in run.results:
        reasons.setdefault(result.case.id, set()).add(result.reason)
    dropped = [
        any(reason.startswith("time budget of 8 minutes spent") for reason in reasons[case.id])
        for case in small(speed=12).speed
    ]
    # 472 seconds hold seven cases of 60, and an eighth that is begun with 52 s left.
    assert dropped == [False] * 8 + [True] * 4
    assert len(run.ended) == 12 and run.complete
    assert code == FINE  # no time is no mistake


def test_without_time_for_anything_nothing_is_fine(tmp_path: Path):
    now = Time()

    def spend(lane: lanes.Lane) -> None:
        now.s += 600 if lane.name == "ceilings" else 0

    code, made = session(tmp_path, small(speed=3), with_child(before=spend), now)
    statuses = {result.status for result in recorded(tmp_path).results}
    assert (code, statuses, made.problems) == (NOT_MEASURED, {"not_run"}, [])
    # What another session measured in the same folder is there.
    assert session(tmp_path, small(speed=3), with_child())[0] == FINE


def test_a_session_goes_on_with_what_had_no_time_and_measures_nothing_twice(tmp_path: Path):
    now = Time()

    def spend(lane: lanes.Lane) -> None:
        now.s += 200 if lane.name == "speed" else 0

    plan = small(speed=5)
    session(tmp_path, plan, with_child(before=spend), now)
    path = tmp_path / "records.jsonl"
    before = recorded(tmp_path)
    with path.open("a") as file:
        file.write('{"schema_version": 1, "run": "cut o')  # killed while it wrote
    handed: list[str] = []
    session(tmp_path, plan, with_child(before=lambda lane: handed.append(lane.name)))
    after = recorded(tmp_path)
    assert handed.count("speed") == 2
    assert {line.run for line in after.sessions} == {before.sessions[0].run}
    assert len(after.sessions) == 2 and len(after.ended) == 5
    assert not any(result.reason.startswith("time budget") for result in after.results)


def test_a_session_does_not_go_on_with_a_line_that_was_changed(tmp_path: Path):
    session(tmp_path, small(speed=1), with_child())
    path = tmp_path / "records.jsonl"
    changed = path.read_text().replace('"status":"ok"', '"status":"worse"', 1)
    path.write_text(changed)
    with pytest.raises(Refused, match="a line was changed: its digest is not of this line"):
        Journal(tmp_path, dry_run=True)
    assert path.read_text() == changed


def test_a_folder_that_is_none_for_this_is_refused_and_left_alone(tmp_path: Path):
    session(tmp_path, small(speed=1), with_child())
    content = (tmp_path / "records.jsonl").read_bytes()
    with pytest.raises(Refused, match="no evidence"):
        Journal(tmp_path, dry_run=False)
    held = Journal(tmp_path, dry_run=True)
    with pytest.raises(Refused, match="another process"):
        Journal(tmp_path, dry_run=True)
    held.close()
    assert (tmp_path / "records.jsonl").read_bytes() == content
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "records.jsonl").write_text("hello\n")
    with pytest.raises(Refused, match="choose another folder"):
        Journal(tmp_path / "other", dry_run=True)
    assert (tmp_path / "other" / "records.jsonl").read_text() == "hello\n"


def test_a_phase_that_fails_ends_itself_alone(tmp_path: Path):
    real = with_child()

    def broken(found: list[lanes.Lane], *rest: Any) -> Iterator[lanes.Event]:
        if any(lane.name == "agreement" for lane in found):
            raise RuntimeError("the checks fell over")
        if found[0].name == "ceilings":
            return with_child("crash")(found, *rest)
        return real(found, *rest)

    code, made = session(tmp_path, small(agreement=2, speed=2), broken)
    run = recorded(tmp_path)
    assert code == FAILED and len(made.problems) == 2
    assert run.sessions[0].information["failed_phases"] == made.problems[:1]
    by_suite = {
        suite: {(r.status, r.reason) for r in run.results if r.case.suite == suite}
        for suite in ("agreement", "speed")
    }
    assert ("ok", "") in by_suite["speed"]
    assert {status for status, _ in by_suite["agreement"]} == {"not_run"}
    assert all("the checks fell over" in reason for _, reason in by_suite["agreement"])
    assert len(run.ended) == 4 and run.complete


@pytest.mark.parametrize(
    ("behaviours", "reasons", "answered"),
    [
        (("fine", "fine", "fine"), ["", "", ""], 1),
        (("chatter",), ["", "", ""], 1),
        (("fine", "crash"), ["", "exit code 11): Segmentation", ""], 2),
        (("hang",), ["no answer within", "no answer within", "no answer within"], 0),
        (("fine", "spoilt"), ["", "was spoilt", ""], 2),
    ],
)
def test_a_child_that_misbehaves_costs_its_own_case(
    tmp_path: Path, behaviours: tuple[str, ...], reasons: list[str], answered: int
):
    cases = gpu.plan(dry_run=True).speed[:3]
    lane = lanes.Lane(
        "speed", cases, (sys.executable, str(SUPPORT / "gpu_child.py"), *behaviours), ENVIRONMENT,
        lambda case, left, waiting: {"mode": "measure"}, tmp_path / "log", patience_s=5.0,
    )  # fmt: skip
    if "hang" in behaviours:
        lane.patience_s = 0.3
    now = lanes.time.monotonic
    events = list(lanes.run([lane], now() + 600, "8 minutes", now))
    ends = [event for event in events if event.end]
    assert [event.case for event in ends] == list(cases)
    for event, reason in zip(ends, reasons, strict=True):
        assert reason in event.reason and bool(reason) == bool(event.reason)
    assert len(list(filter(lambda event: event.start, events))) == 3
    pids = {event.rows[0]["protocol"]["child"] for event in events if event.rows}
    assert len(pids) == answered  # so many processes


def test_a_lane_whose_children_keep_dying_is_given_up(tmp_path: Path):
    code, _ = session(tmp_path, small(agreement=6), with_child("crash"))
    ended = [r.reason for r in recorded(tmp_path).results if r.contender == "triton"]
    assert code == FAILED
    assert sum("its process ended" in reason for reason in ended) == 3
    assert sum("given up" in reason for reason in ended) == 3


def test_a_figure_that_is_no_number_and_a_cell_given_twice_make_no_bad_line(tmp_path: Path):
    journal, case = Journal(tmp_path, dry_run=True), small(speed=1).speed[0]
    journal.begin("x", "gpu-dry-run", [case.id], {})
    journal.results(case, [Row("eager", "peak_bytes", value=math.nan), Row("eager", "peak_bytes")])
    journal.end_case(case, 1.0)
    journal.end_run(1.0)
    journal.close()
    (only,) = recorded(tmp_path).results
    assert (only.status, only.value, only.reason) == ("worse", None, "its figure is nan")


def test_what_is_missing_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(gpu_session, "absent", lambda names: [n for n in names if n != "torch"])
    assert "pip install 'triton>=3.6'" in gpu_session.unmet(dry_run=False)
    assert "numpy" not in gpu_session.unmet(dry_run=False)
    assert "pip install 'triton>=3.6' numpy" in gpu_session.unmet(dry_run=True)
    assert "nvidia-ml-py" in gpu_session.optional()
    assert gpu_session.main([]) == 3
    assert "error: a GPU session needs triton>=3.6" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_:
        gpu_session.main(["--minutes", "-1"])
    assert exit_.value.code == 2
