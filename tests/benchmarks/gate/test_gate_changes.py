"""Which losses a gate times: those that changed, or that share what changed; the rest is said."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from benchmarks import library
from benchmarks.gate import changes, session, timing
from benchmarks.gate.decision import Judgement, Rule, Sample
from benchmarks.gate.records import GateStart, read
from benchmarks.gate.session import FINE, NOT_MEASURED, Asked, Outcome, run
from benchmarks.gate.timing import CaseRun, Timed
from benchmarks.gate.trees import Trees
from marginbench import catalogue
from reports.gate import junit, markdown, reading, replay, terminal
from suites.interval import Interval

ROOT = library.ROOT
LOSSES = sorted(loss.name for loss in catalogue.losses())
FOLDERS = tuple(name.replace("-", "_") for name in LOSSES)
BASE = "0123456789abcdef"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree's code that decides on times."""
    tree = tmp_path_factory.mktemp("plain")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("kernels/marginbench", "suites", "benchmarks"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    shutil.copyfile(ROOT / "requirements.lock", tree / "requirements.lock")
    return tree


@pytest.fixture
def candidate(plain: Path, tmp_path: Path) -> Path:
    return shutil.copytree(plain, tmp_path / "candidate")


def _touch(path: Path) -> None:
    path.write_text(path.read_text() + "\n# changed\n")


@pytest.mark.parametrize(
    ("file", "touched"),
    [
        ("kernels/marginbench/triplet/eager.py", {"triplet"}),
        ("kernels/marginbench/triplet/__init__.py", {"triplet"}),
        # Both call its head; A-Softmax by its reference alone.
        ("kernels/marginbench/softmax/fused.py", {"softmax", "center"}),
        ("kernels/marginbench/shared/reduction.py", set(FOLDERS)),
        ("kernels/marginbench/inputs.py", set(FOLDERS)),
        ("suites/gate.py", set(FOLDERS)),
        ("benchmarks/gate/pair.py", set(FOLDERS)),
        ("benchmarks/instruments/clock.py", set(FOLDERS)),
        ("benchmarks/agreement/verdict.py", set(FOLDERS)),
        ("benchmarks/run/measurement.py", set(FOLDERS)),
        ("benchmarks/processes.py", set(FOLDERS)),
        ("kernels/marginbench/triplet/tests/test_triplet_eager.py", set()),
        ("kernels/marginbench/triplet/tests/pins.jsonl", set()),
        ("benchmarks/training/loop.py", set()),
        ("benchmarks/snapshots/pins.py", set()),
        ("suites/claims/last_relu.py", set()),
    ],
)
def test_what_changed_is_told_from_what_did_not(
    file: str, touched: set[str], plain: Path, candidate: Path
):
    _touch(candidate / file)
    assert changes.unchanged(plain, candidate, FOLDERS) == set(FOLDERS) - touched


@pytest.mark.parametrize(
    "line",
    [
        "from .. import catalogue, softmax",
        "from ..softmax import eager",
        "from ..softmax.eager import loss",
        "def f():\n    from .. import (\n        softmax,\n    )",
    ],
)
def test_a_loss_that_another_imports_is_a_part_of_it(line: str, tmp_path: Path):
    library_folder = tmp_path / "kernels" / "marginbench"
    for name in ("softmax", "ring"):
        (library_folder / name).mkdir(parents=True)
        (library_folder / name / "eager.py").write_text("")
    (library_folder / "ring" / "fused.py").write_text(f"{line}\n")
    assert set(changes._with_siblings(library_folder, "ring")) == {"ring", "softmax"}


def test_a_file_on_one_side_only_is_a_change(plain: Path, candidate: Path):
    (candidate / "kernels/marginbench/center/more.py").write_text("")
    (candidate / "kernels/marginbench/contrastive/fused_pairs.py").unlink()
    same = changes.unchanged(plain, candidate, FOLDERS)
    assert same == set(FOLDERS) - {"center", "contrastive"}
    (candidate / "kernels/marginbench/shared/more.py").write_text("")
    assert changes.unchanged(plain, candidate, FOLDERS) == set()


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The losses that were timed, all of them as fast as before."""
    heard: set[str] = set()

    def compare(trees, cases, rule, **rest) -> list[Timed]:
        heard.update(case.loss for case in cases)
        judgement = Judgement("EQUIVALENT", "because", Interval(1.0, 0.99, 1.01, 20))
        return [Timed(case, judgement, CaseRun(case, Sample(rule, "screen", 1))) for case in cases]

    monkeypatch.setattr(timing, "compare", compare)
    return heard


def _gate(base: Path, candidate: Path, out: Path, **other) -> Outcome:
    asked = Asked("smoke", "cpu", 0, 1, Rule(), "marginbench gate", **other)
    return run(asked, Trees(base, candidate, BASE, "c", False, "c"), out)


def test_untouched_losses_are_not_timed_and_not_passed(
    plain: Path, candidate: Path, timed: set[str], tmp_path: Path
):
    _touch(candidate / "kernels/marginbench/triplet/eager.py")
    outcome = _gate(plain, candidate, tmp_path / "out")
    assert (outcome.code, timed) == (FINE, {"triplet"})
    found = reading.load(outcome.records)
    others = [name for name in LOSSES if name != "triplet"]
    assert found.start.unchanged == others
    assert {row.case.split("/")[0] for row in found.rows()} == {"triplet"}
    said = f"not timed: unchanged since {BASE[:12]}"
    for text in (terminal.text(found), markdown.render(found), junit.render(found)):
        assert text.count(said) == len(others), text
    assert f"not timed: {', '.join(others)} (unchanged since" in outcome.sentence
    assert junit.render(found).count("<skipped") == 1 + len(others)


def test_where_nothing_changed_the_gate_says_so_and_times_nothing(
    plain: Path, timed: set[str], tmp_path: Path
):
    outcome = _gate(plain, plain, tmp_path / "out")
    assert outcome.code == FINE and not timed
    assert f"not timed: {', '.join(LOSSES)}" in outcome.sentence
    found = reading.load(outcome.records)
    replay.check(found)
    assert found.exit_code == FINE


@pytest.mark.parametrize(
    ("asked", "losses"),
    [
        ({"whole": True}, set(LOSSES)),
        ({"losses": ("center",)}, {"center"}),
        ({"only": "center/"}, {"center"}),
    ],
)
def test_what_is_asked_for_is_timed(
    asked: dict, losses: set[str], plain: Path, timed: set[str], tmp_path: Path
):
    assert _gate(plain, plain, tmp_path / "out", **asked).code == FINE
    assert timed == losses
    first = next(iter(read(tmp_path / "out" / "gate.jsonl")))
    assert isinstance(first, GateStart) and first.unchanged == []


def test_other_versions_are_no_pass_though_nothing_changed(
    plain: Path, candidate: Path, timed: set[str], tmp_path: Path
):
    (candidate / "requirements.lock").write_text("torch==1.0\n")
    outcome = _gate(plain, candidate, tmp_path / "out")
    assert (
        outcome.code == NOT_MEASURED and "no timed comparison across versions" in outcome.sentence
    )


def test_a_lost_case_of_a_loss_that_is_unchanged_is_no_pass(
    plain: Path, timed: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = session.plan("smoke", "cpu")
    monkeypatch.setattr(
        session, "plan", lambda suite, device, name: whole if "base" in name else whole[1:]
    )
    outcome = _gate(plain, plain, tmp_path / "out")
    assert outcome.code == NOT_MEASURED and "timed case vanished" in outcome.sentence


def test_kernels_that_were_not_compiled_are_said(plain: Path, timed: set[str], tmp_path: Path):
    from benchmarks.snapshots.exact.check import ExactOutcome

    exact = ExactOutcome(FINE, left_out="4 of 6 pinned kernels were not compiled")
    outcome = _gate(plain, plain, tmp_path / "out", exact=lambda base: exact, timed=False)
    assert outcome.code == FINE and exact.left_out in outcome.sentence
    found = reading.load(outcome.records)
    end = dataclasses.replace(found.ended, outcome="all is well")
    found = dataclasses.replace(found, end=end)
    for text in (terminal.text(found), markdown.render(found), junit.render(found)):
        assert exact.left_out in text
