"""How far a command has got: the time left, from a clock of the test's own, and on which stream."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from benchmarks.steps import Step
from commands import progress
from commands.gate import _Stages
from commands.root import cli


class Clock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(clock: Clock, capsys: pytest.CaptureFixture) -> Callable[..., list[str]]:
    """Reports steps, each after so many seconds; the lines that a log then has."""

    def shown(*steps: tuple[float, float, float], **more: Any) -> list[str]:
        with progress.shown("not in a log", clock=clock) as report:
            for seconds, done, total in steps:
                clock.now += seconds
                report(done, total, "at", **more)
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()

    return shown


def test_the_time_left_is_that_of_the_steps_so_far(lines: Callable[..., list[str]]):
    assert lines((0, 0, 4), (10, 1, 4), (20, 2, 4), (30, 4, 4)) == [
        "0/4  at", "1/4  at  0:30 left", "2/4  at  0:30 left", "4/4  at"
    ]  # fmt: skip


def test_a_long_time_is_shown_in_hours(lines: Callable[..., list[str]]):
    assert lines((0, 0, 100), (40, 1, 100))[-1] == "0/100  at"
    assert lines((0, 0, 10), (3600, 1, 10))[-1] == "1/10  at  9:00:00 left"


def test_what_was_there_before_took_no_time(lines: Callable[..., list[str]]):
    """As where a run is resumed, or compiled kernels are in a cache."""
    assert lines((500, 80, 100), (10, 90, 100))[-1] == "90/100  at  0:10 left"


def test_other_work_has_a_pace_of_its_own(lines: Callable[..., list[str]]):
    steps = (0, 0, 2), (100, 1, 2), (100, 2, 2), (0, 0, 10), (1, 1, 10)
    assert lines(*steps)[-1] == "1/10  at  0:09 left"
    again = (0, 0, 2), (100, 1, 2), (100, 2, 2), (0, 0, 2), (1, 1, 2)
    assert lines(*again)[-1] == "1/2  at  0:01 left"


def test_a_share_of_the_way_is_where_steps_differ(lines: Callable[..., list[str]]):
    assert lines((0, 0, 1), (30, 0.75, 1))[-1] == "75%  at  0:10 left"


def test_work_of_unknown_length_says_what_it_is_at(lines: Callable[..., list[str]]):
    assert lines((0, 0, 0), (5, 0, 0)) == ["at"]


def test_work_that_knows_better_says_what_is_left(lines: Callable[..., list[str]]):
    assert lines((0, 0, 10), (10, 5, 10), left_s=90.0) == [
        "0/10  at  1:30 left", "5/10  at  1:30 left"
    ]  # fmt: skip


def test_a_log_has_a_line_a_tenth_and_none_is_silent_for_long(lines: Callable[..., list[str]]):
    quick = lines(*((0.0, done, 1000) for done in range(1001)))
    assert [line.split("/")[0] for line in quick] == [str(100 * tenth) for tenth in range(11)]
    slow = lines(*((25.0, done, 1000) for done in range(8)))
    assert [line.split("/")[0] for line in slow] == ["0", "3", "6"]


def test_the_time_left_runs_down_between_steps(clock: Clock):
    pace = progress.Pace(clock)
    pace.step(0, 10, None)
    assert pace.left_s is None
    clock.now += 10
    pace.step(1, 10, None)
    assert pace.left_s == 90
    clock.now += 60
    assert pace.left_s == 30
    clock.now += 60
    assert pace.left_s == 0, "never less than nothing"


def test_a_terminal_has_a_bar_with_the_time_left(clock: Clock, capsys: pytest.CaptureFixture):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with progress.shown("starting", on=terminal, clock=clock) as report:
        clock.now += 7
        report(0, 20)
        clock.now += 3
        report(1, 20, "[red] is no colour here")
    drawn = terminal.file.getvalue()
    assert "1/20" in drawn and "0:57 left" in drawn and "[red] is no colour here" in drawn
    assert capsys.readouterr() == ("", "")


def test_the_bar_is_drawn_on_the_error_stream(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress.shown("reading"):
        pass
    out, err = capsys.readouterr()
    assert out == "" and "reading" in err


def test_a_terminal_shows_the_time_spent_while_the_time_left_is_unknown(clock: Clock):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with progress.shown("reading", on=terminal, clock=clock):
        clock.now += 75
    drawn = terminal.file.getvalue()
    assert "reading" in drawn and "1:15 so far" in drawn


def test_a_session_brings_its_own_time_left():
    heard: list[Any] = []
    report = progress.steps(lambda *step, **left: heard.append((*step, left["left_s"])))
    report(Step(4, 1, current="now", left_s=12.0))
    report(Step(4, 2, left_s=8.0, finished="before"))
    assert heard == [(1, 4, "now", 12.0), (2, 4, "before", 8.0)]


def test_a_training_says_first_what_it_is_at():
    heard: list[Any] = []
    progress.named(lambda *step, **_: heard.append(step))("a", 1, 4)
    assert heard == [(1, 4, "a")]


def test_a_gates_stages_are_steps():
    heard: list[Any] = []
    stages = _Stages(lambda *step, **_: heard.append(step))
    for stage, cases in (("screen", "ab"), ("confirmation", "b")):
        stages.hear("stage", {"stage": stage, "steps": len(cases)})
        for case in cases:
            stages.hear("start", {"case": case})
            stages.hear("group", {})
            stages.hear("end", {})
    assert heard == [
        (0, 2, "screen: a"), (1, 2, "screen: b"), (0, 1, "confirmation: b")
    ]  # fmt: skip


def _sanitize(patch: pytest.MonkeyPatch) -> str:
    from benchmarks.sanitizer import sanitize
    from benchmarks.sanitizer.jobs import Tally

    def check(report: Any, **_: Any) -> tuple[Tally, list[Any], int]:
        report(1, 2, "half way")
        return Tally(), [], sanitize.CLEAN

    patch.setattr(sanitize, "check", check)
    return "sanitize"


def _static(patch: pytest.MonkeyPatch) -> str:
    from benchmarks.snapshots import static_check

    def examine(**given: Any) -> static_check.Examined:
        given["report"](1, 2, "half way")
        return static_check.Examined(0)

    patch.setattr(static_check, "examine", examine)
    return "static"


def _verify(patch: pytest.MonkeyPatch) -> str:
    from reports.site import verifying

    def check(kind: str, path: Path) -> verifying.Checked:
        return verifying.Checked(kind, path, "same")

    patch.setattr(verifying, "_check", check)
    return "verify"


def _publish(patch: pytest.MonkeyPatch) -> str:
    from reports.site import building

    def build(root: Path, out: Path, report: Any) -> SimpleNamespace:
        report(1, 2, "half way")
        return SimpleNamespace(left_out=(), largest=("a", 1), pages=1, files=1, root=out)

    patch.setattr(building, "build", build)
    return "publish"


@pytest.mark.parametrize("fake", [_sanitize, _static, _verify, _publish])
def test_a_commands_progress_goes_to_the_error_stream(
    fake: Callable[[pytest.MonkeyPatch], str], monkeypatch: pytest.MonkeyPatch
):
    """Its work is a fake that reports a step: the output is what it is without progress."""
    result: Result = CliRunner().invoke(cli, [fake(monkeypatch)])
    assert result.exit_code == 0, result.output
    said = result.stderr.splitlines()
    assert said and all(line.startswith(("1/2  half way", "0%", *"123456789")) for line in said)
    assert result.stdout and not set(said) & set(result.stdout.splitlines())


def test_a_run_prints_its_results_alone(tmp_path: Path):
    case = "agreement/softmax/linear/B2-D2-C2/float32/cpu/drawn/s0"
    words = ["run", "--case", case, "--contender", "eager", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0].startswith(f"0%  {case}")
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["records", "report"]
