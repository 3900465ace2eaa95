"""The page of the gate's trial: damage is reported, targets come first, all is there twice."""

from __future__ import annotations

import ast
import dataclasses
import json
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_reader import Page
from synthetic_trust import CASES, NULL, SLOWED, Maker, Noise, write

from benchmarks.gate.decision import Rule
from benchmarks.gate.interval import ratio
from benchmarks.records.loading import RecordError
from reports.gate.trust import page, trials
from reports.gate.trust.cheats import cheats
from reports.gate.trust.false_alarms import Alarms, live
from reports.gate.trust.findings import _alarms, findings, targets
from reports.gate.trust.shares import Share
from reports.gate.trust.trials import Trial, Trust
from reports.rows import Rows

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write(tmp_path_factory.mktemp("trust"), Maker({**NULL, **SLOWED}))
    assert page.build(made, replays=20, intervals=20) == made / "index.html"
    return made


@pytest.fixture(scope="module")
def trust(folder: Path) -> Trust:
    return trials.read(trials.find(folder))


def test_a_record_is_read_as_it_was_written(folder: Path, trust: Trust):
    assert len(trust.trials) == sum({**NULL, **SLOWED}.values())
    assert trust.loads == ["quiet", "loaded"]
    assert trust.fractions("quiet") == [0.02, 0.05]
    assert trust.rule == Rule() and trust.cases == CASES
    trial = trust.trials[0]
    legs = trial.legs[CASES[0], "screen"]
    base, candidate = legs.per_call()
    assert base.size == candidate.size == 2 * len(legs.groups)
    # What the gate itself estimated, from legs that are rounded to 1e-4 of their length.
    estimate = ratio(list(legs.log_ratios)).estimate
    assert estimate == pytest.approx(trial.verdicts[CASES[0]]["ratio"], abs=1e-4)


def test_compressed_is_the_same(folder: Path, trust: Trust, tmp_path: Path):
    (tmp_path / "trust.jsonl.xz").write_bytes(lzma.compress((folder / "trust.jsonl").read_bytes()))
    again = trials.read(trials.find(tmp_path))
    assert [trial.verdicts for trial in again.trials] == [t.verdicts for t in trust.trials]


def test_an_older_record_s_verdict_has_today_s_name(folder: Path, tmp_path: Path):
    lines = _lines(folder)
    trial = json.loads(lines[-1])
    trial["verdicts"][0]["verdict"] = "UNDECIDED"
    (tmp_path / "trust.jsonl").write_text("".join([*lines[:-1], _changed(lines[-1], **trial)]))
    found = trials.read(trials.find(tmp_path)).trials[-1].verdicts
    assert found[CASES[0]]["verdict"] == "INCONCLUSIVE"


def _lines(folder: Path) -> list[str]:
    return (folder / "trust.jsonl").read_text().splitlines(keepends=True)


def _changed(line: str, **fields) -> str:
    return json.dumps({**json.loads(line), **fields}) + "\n"


DAMAGE = {
    "cut off": (lambda lines: [*lines[:-1], lines[-1][:50]], "is cut off"),
    "not JSON": (lambda lines: [lines[0], "{nonsense\n", *lines[2:]], "line 2: is damaged"),
    "a list": (lambda lines: [lines[0], "[1]\n", *lines[2:]], "line 2: is damaged"),
    "foreign": (lambda lines: [lines[0], '{"kind": "result"}\n'], "expected session, legs or"),
    "a field less": (lambda lines: [lines[0], '{"kind": "legs"}\n'], "damaged: it has no"),
    "a leg of nothing": (lambda lines: [lines[0], _changed(lines[1], legs=[[[1, 0, 1, 1]]])],
                         "four positive figures"),
    "three legs": (lambda lines: [lines[0], _changed(lines[1], legs=[[[1, 2, 3]]])],
                   "four positive figures"),
    "another rule": (lambda lines: [*lines, _changed(lines[0], rule={"stage_s": 1.0})], "rule"),
    "a case less": (lambda lines: [lines[0], _changed(lines[3], verdicts=[])], "one of each case"),
    "no trial": (lambda lines: lines[:2], "no trial that ended"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_reported(damage: str, folder: Path, tmp_path: Path):
    change, message = DAMAGE[damage]
    (tmp_path / "trust.jsonl").write_text("".join(change(_lines(folder))))
    with pytest.raises(RecordError, match=message):
        page.build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["trust.jsonl"]


def test_a_damaged_archive_and_none_are_reported(folder: Path, tmp_path: Path):
    with pytest.raises(RecordError, match="found neither"):
        page.build(tmp_path)
    whole = lzma.compress((folder / "trust.jsonl").read_bytes())
    (tmp_path / "trust.jsonl.xz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match="can't be read"):
        page.build(tmp_path)
    (tmp_path / "trust.jsonl").write_text("")
    with pytest.raises(RecordError, match=r"trust.jsonl and trust.jsonl.xz"):
        page.build(tmp_path)


def test_legs_of_a_killed_trial_are_left_out(folder: Path, tmp_path: Path):
    lines = _lines(folder)
    killed = _changed(lines[1], trial="quiet/0/99")
    (tmp_path / "trust.jsonl").write_text("".join([lines[0], killed, *lines[1:]]))
    found = trials.read(trials.find(tmp_path))
    assert found.orphans == 1 and "quiet/0/99" not in {trial.id for trial in found.trials}


def test_the_page_says_the_claim_first_and_everything_twice(folder: Path):
    text = (folder / "index.html").read_text()
    shown = Page(text)
    assert [attributes["id"] for attributes in shown.named("section")] == [
        "answer", "false-alarms", "power", "coverage", "side-by-side", "cheats", "provenance",
    ]  # fmt: skip
    assert len(shown.named("svg")) == 5 == len(list((folder / "figures").glob("*.svg")))
    ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not re.search(r'(?:src|href)="(?!#)', text) and text.count("<script") == 1
    markdown = (folder / "report.md").read_text()
    assert markdown.index("Asked for, and measured") < markdown.index("False alarms")
    for cheat in cheats():
        assert cheat.how in shown.seen and cheat.how in markdown


def test_the_same_record_gives_the_same_bytes(folder: Path, tmp_path: Path):
    (tmp_path / "trust.jsonl").write_bytes((folder / "trust.jsonl").read_bytes())
    page.build(tmp_path, replays=20, intervals=20)
    for name in ("index.html", "report.md", "summary.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_summary_is_plain_json_with_every_target(folder: Path):
    found = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    states = {target["name"]: target["state"] for target in found["targets"]}
    # Too few trials to have shown a false alarm rate are not a pass.
    assert states["False alarms, live"] == states["False alarms, replayed"] == "not measured"
    assert (
        states["Power, quiet"] == states["Intervals"] == "not measured"
        and states["Cheats"] == "met"
    )
    assert found["false_alarms"]["live"]["quiet"]["slower"]["of"] == NULL["quiet", 0.0]


@pytest.mark.parametrize(
    ("quiet", "loaded", "state"),
    [
        ((0, 150), (0, 150), "met"),
        ((0, 150), (1, 150), "missed"),
        ((0, 200), (0, 100), "not measured"),
        ((0, 140), (0, 150), "not measured"),
        ((2, 140), (0, 150), "missed"),
    ],
)
def test_the_target_of_false_alarms(quiet: tuple, loaded: tuple, state: str):
    none = Share(0, 1)
    alarms = {load: Alarms(Share(*counts), none, none, none, {})
              for load, counts in (("quiet", quiet), ("loaded", loaded))}  # fmt: skip
    target = _alarms("live", alarms, 300)
    assert target.state == state
    # Even none of 300 leaves a rate of 1% open, and the page says so.
    assert "0.99%" in target.open or state != "met"


def test_a_verdict_that_was_not_measured_is_no_absence_of_an_alarm(trust: Trust):
    first, second, *rest = trust.of("quiet", 0.0)

    def saying(trial: Trial, word: str) -> Trial:
        verdicts = {case: {**verdict, "verdict": word} for case, verdict in trial.verdicts.items()}
        return dataclasses.replace(trial, verdicts=verdicts)

    one_slow = {**saying(second, "NOT MEASURED").verdicts}
    one_slow[CASES[0]] = {**one_slow[CASES[0]], "verdict": "SLOWER"}
    trials = Rows((saying(first, "NOT MEASURED"), dataclasses.replace(second, verdicts=one_slow),
                   *(saying(trial, "EQUIVALENT") for trial in rest)))  # fmt: skip
    found = live(dataclasses.replace(trust, trials=trials), "quiet")
    assert (found.slower.hits, found.slower.of) == (1, len(rest) + 1)
    assert (found.faster.hits, found.faster.of) == (0, len(rest))
    assert (found.inconclusive.hits, found.inconclusive.of) == (2, len(rest) + 2)


def test_a_missed_target_is_shown_as_missed(tmp_path: Path):
    noise = Noise(0.01, 0, 0.005)
    made = write(tmp_path, Maker({("quiet", 0.0): 3, ("quiet", 0.02): 1}, noise))
    found = findings(trials.read(trials.find(made)), replays=3, intervals=8)
    reached = {target.name: target for target in targets(found)}
    assert reached["False alarms, live"].state == "missed"
    assert reached["Power, loaded"].state == "not measured"


def test_the_list_of_cheats_is_that_of_the_planted_ones():
    tree = ast.parse((ROOT / "tests" / "support" / "gate_cheats.py").read_text())
    caught = next(ast.literal_eval(node.value) for node in tree.body
                  if isinstance(node, ast.AnnAssign) and node.value is not None
                  and isinstance(node.target, ast.Name) and node.target.id == "CAUGHT")  # fmt: skip
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    listed = cheats()
    assert {c.plant for c in listed if c.outcome == "caught"} == set(caught)
    assert {c.plant for c in listed if c.plant} <= functions
    assert len(listed) >= 12 and len({c.name for c in listed}) == len(listed)
    for cheat in listed:
        assert (ROOT / cheat.where).is_file(), cheat.where


def test_a_page_is_drawn_without_torch():
    """The rule's arithmetic is the gate's, and needs none of its machinery."""
    code = "import sys, reports.gate.trust.page; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
