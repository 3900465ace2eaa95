"""A claim judged in parts: no page says of the whole what holds for some parts only."""

from __future__ import annotations

import json
import lzma
import re
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_quality import CLAIM, Maker, one_claim, write

from reports.quality import judging
from reports.quality.build import build
from reports.site import building
from suites.claims.claim import Claim, Part, Verdict

PARTS = (
    Part("a", "the margin grows", "reproduced", "It grows by 1.0."),
    Part("b", "accuracy grows with it", "not reproduced", "It falls by 0.1."),
)
WHOLE = Verdict("not reproduced", "It grows by 1.0; it falls by 0.1.", (), PARTS)
JUDGED = replace(CLAIM, judge=lambda trainings: WHOLE, plots=lambda trainings: [])
LEAD = (
    f"Claim {CLAIM.number} ({CLAIM.title}): not reproduced as a whole; reproduced: the margin "
    "grows; not reproduced: accuracy grows with it; tried on digits (MLP)."
)


@pytest.fixture(autouse=True)
def _stand_ins():
    with one_claim():
        yield


def _built(folder: Path, monkeypatch: pytest.MonkeyPatch, *claims: Claim) -> tuple[str, dict]:
    """report.md and summary.json of a run that tried these claims alone."""
    monkeypatch.setattr(judging, "known", lambda: list(claims))
    maker = Maker(seeds=(0, 1), images=20, identities=3)
    lines = [
        maker.training(claim.study, arm, seed, 0.5)
        for claim in claims for arm in ("m1", "m4") for seed in maker.seeds
    ]  # fmt: skip
    build(write(folder, maker.lines(lines)))
    summary = json.loads((folder / "summary.json").read_text())
    return (folder / "report.md").read_text(), summary


def _rows(text: str) -> list[list[str]]:
    """Rows of the answer's table: number, verdict, claim, why, tried on."""
    rows = [[cell.strip() for cell in line.strip().split("|")[1:-1]]
            for line in text.splitlines() if re.match(r"\| \d", line)]  # fmt: skip
    return [row for row in rows if len(row) == 5]


def test_each_part_has_its_row_and_the_lead_names_them(tmp_path: Path, monkeypatch):
    text, summary = _built(tmp_path, monkeypatch, JUDGED)
    assert LEAD in text
    number = str(CLAIM.number)
    (whole, a, b) = _rows(text)
    assert whole[:3] == [number, "**not reproduced as a whole**", CLAIM.title]
    assert whole[3] == "Of its 2 parts: 1 reproduced, 1 not reproduced, 0 inconclusive."
    assert a == [f"{number} (a)", "reproduced", "the margin grows", "It grows by 1.0.", ""]
    assert (b[0], b[1], b[3]) == (f"{number} (b)", "**not reproduced**", "It falls by 0.1.")
    assert "| part (a) | ✓ reproduced: the margin grows |" in text
    assert "| part (b) | **✗ not reproduced: accuracy grows with it** |" in text
    assert "| verdict | **✗ not reproduced as a whole** |" in text
    (claim,) = summary["claims"]
    assert claim["outcome"] == "not reproduced"
    assert claim["parts"] == [
        {"label": p.label, "title": p.title, "outcome": p.outcome, "reason": p.reason}
        for p in PARTS
    ]


def test_several_claims_are_counted_as_wholes(tmp_path: Path, monkeypatch):
    text, _ = _built(tmp_path, monkeypatch, JUDGED, replace(CLAIM, name="other", number=5))
    assert ("Of 2 of the papers' claims: 1 reproduced, 1 not reproduced, 0 inconclusive, tried on "
            "digits (MLP).") in text  # fmt: skip
    assert [row[0] for row in _rows(text)] == ["4", "4 (a)", "4 (b)", "5"]


def test_a_single_part_is_the_whole(tmp_path: Path, monkeypatch):
    alone = Verdict("reproduced", "It grows by 1.0.", (), PARTS[:1])
    text, summary = _built(tmp_path, monkeypatch, replace(JUDGED, judge=lambda trainings: alone))
    assert f"({CLAIM.title}): reproduced, tried on digits (MLP)." in text
    (row,) = _rows(text)
    assert (row[1], row[3]) == ("reproduced", "It grows by 1.0.")
    assert "part (a)" not in text
    assert [part["label"] for part in summary["claims"][0]["parts"]] == ["a"]


def test_the_site_says_the_same(tmp_path: Path, monkeypatch):
    quality = tmp_path / "quality" / "small"
    _built(quality, monkeypatch, JUDGED)
    (quality / "records.jsonl.xz").write_bytes(
        lzma.compress((quality / "records.jsonl").read_bytes())
    )
    (quality / "records.jsonl").unlink()
    building.build(tmp_path, tmp_path / "site")
    assert "4 (a)" in (tmp_path / "site" / "index.html").read_text()
    assert LEAD in (tmp_path / "site" / "quality" / "small.html").read_text()
