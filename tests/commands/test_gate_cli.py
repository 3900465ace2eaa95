"""``marginbench gate`` as a script meets it: exit codes and sentences; the timing is a stand-in."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.gate import session, timing, trees
from benchmarks.gate.decision import Judgement, Sample
from benchmarks.gate.timing import CaseRun, Timed
from commands.root import cli
from suites.interval import Interval

ROOT = Path(__file__).resolve().parents[2]
BOTH = trees.Trees(ROOT, ROOT, "c0ffee", "c0ffee", False, "c0ffee")


@pytest.fixture(autouse=True)
def _no_clone(monkeypatch: pytest.MonkeyPatch):
    """Nothing is checked out, and the lock of this clone is left alone."""

    @contextmanager
    def checked_out(base):
        yield BOTH

    @contextmanager
    def alone():
        yield

    monkeypatch.setattr(trees, "checked_out", checked_out)
    monkeypatch.setattr(trees, "alone", alone)


def say(monkeypatch: pytest.MonkeyPatch, verdict: str) -> None:
    def compare(trees, cases, rule, **rest) -> list[Timed]:
        judgement = Judgement(verdict, "because", Interval(1.0, 0.99, 1.01, 20))
        return [Timed(case, judgement, CaseRun(case, Sample(rule, "screen", 1))) for case in cases]

    monkeypatch.setattr(timing, "compare", compare)


def gate(*words: str):
    return CliRunner().invoke(cli, ["gate", *words])


@pytest.mark.parametrize(
    ("verdict", "code"), [("EQUIVALENT", 0), ("SLOWER", 1), ("INCONCLUSIVE", 3)]
)
def test_the_exit_code_is_the_verdicts(monkeypatch, tmp_path: Path, verdict: str, code: int):
    say(monkeypatch, verdict)
    done = gate("--timed", "--all", "--suite", "smoke", "--out", str(tmp_path / "out"))
    assert done.exit_code == code, done.output
    assert verdict in done.output
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"gate.jsonl", "junit.xml"}


def test_the_recorded_command_runs_the_same_again(monkeypatch, tmp_path: Path):
    say(monkeypatch, "EQUIVALENT")
    for seed in ("7", "0"):
        out = tmp_path / seed
        gate("--timed", "--all", "--suite", "smoke", "--seed", seed, "--out", str(out))
        first = (out / "gate.jsonl").read_text().splitlines()[0]
        assert f"marginbench gate --base c0ffee --suite smoke --all --seed {seed} --timed" in first


def test_a_drawn_seed_is_recorded(monkeypatch, tmp_path: Path):
    say(monkeypatch, "EQUIVALENT")
    gate("--timed", "--all", "--suite", "smoke", "--out", str(tmp_path / "out"))
    assert "--seed " in (tmp_path / "out" / "gate.jsonl").read_text().splitlines()[0]


def test_a_full_disk_is_reported_and_no_pass(monkeypatch, tmp_path: Path):
    def full(self, line):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(session.Writer, "append", full)
    done = gate("--timed", "--all", "--suite", "smoke", "--out", str(tmp_path / "out"))
    assert done.exit_code == 3
    assert "No space left" in done.output


def test_what_breaks_in_the_gate_is_no_regression(monkeypatch, tmp_path: Path):
    def broken(*_, **__):
        raise ValueError("out of sorts")

    monkeypatch.setattr(timing, "compare", broken)
    done = gate("--timed", "--all", "--suite", "smoke", "--out", str(tmp_path / "out"))
    assert done.exit_code == 3
    assert "the command itself failed: ValueError: out of sorts" in done.output


def test_an_interrupted_gate_has_a_code_of_its_own(monkeypatch, tmp_path: Path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(timing, "compare", interrupted)
    done = gate("--timed", "--all", "--suite", "smoke", "--out", str(tmp_path / "out"))
    assert done.exit_code == 130


def test_a_second_gate_is_refused_and_no_pass(monkeypatch):
    @contextmanager
    def alone():
        raise trees.Busy("another gate is running in this clone")
        yield

    monkeypatch.setattr(trees, "alone", alone)
    done = gate("--timed")
    assert done.exit_code == 3
    assert "another gate" in done.output


@pytest.mark.parametrize(
    "words",
    [("--suite", "nothing"), ("--exact", "--case", "softmax"), ("--smallest-effect", "2"),
     ("--seconds", "0"), ("--device", "tpu"), ("--pin", "--case", "softmax"),
     ("--loss", "sofmax"), ("--pin", "--loss", "sofmax")],
)  # fmt: skip
def test_bad_usage(words: tuple[str, ...]):
    assert gate(*words).exit_code == 2


def test_a_folder_that_holds_a_gate_is_refused(tmp_path: Path):
    (tmp_path / "gate.jsonl").write_text("")
    done = gate("--timed", "--out", str(tmp_path))
    assert done.exit_code == 2
    assert "already" in done.output
