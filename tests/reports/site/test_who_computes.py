"""The page of who computes what: what the record says, in a matrix, a table and the slopes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import who_computes as measured
from benchmarks.agreement import same_function
from benchmarks.records.loading import RecordError
from marginbench import catalogue, public_code
from reports import pages
from reports.document import figures
from reports.pages import Page
from reports.site import program_records, who_computes
from reports.style import Styles


@pytest.fixture(scope="module")
def record() -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(public_code, "of", lambda loss: _FEW(loss)[:2])
        found = list(measured.implementations())
    return measured.facts(found, Path("who-computes.json"))


_FEW = public_code.of


def test_the_page_says_what_the_record_says(record: dict):
    made = who_computes.document(json.loads(json.dumps(record)))
    drawn = [one for section in made.sections for one in figures(section.blocks)]
    assert [one.name for one in drawn] == ["who-computes-what", "target-slopes"]
    text = pages.render(made, Page("who-computes.html", Styles(())))
    assert "from its equations, not run" in text and "--module" in text
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in drawn[0].data.rows}
    assert set(rows) == {one["name"] for one in record["implementations"]}
    for one in record["implementations"]:
        same = sum(held["verdict"] == "same" for held in one["held"])
        assert rows[one["name"]].count("same value and gradients") == same


def test_every_compared_variant_has_a_slope(record: dict):
    slopes = record["slopes"]["by_variant"]
    assert set(slopes) == {f"{loss.name}/{v.name}" for loss, v in same_function.variants()}
    assert all(abs(slope - 1) < 1e-5 for slope in slopes["normface/fixed"])
    # A variant declares its target too: the slope is its difference.
    for loss in catalogue.losses():
        for v in loss.variants:
            name = f"{loss.name}/{v.name}"
            if v.target_of_cosine is None or v.surrogate_gradient or name not in slopes:
                continue
            if v.added_at_length is not None:
                continue  # its target goes by the length too
            own = {key: one for key, one in v.options.items() if key != "scale"}
            cosine, step = 0.5, 1e-6
            ends = [v.target_of_cosine(cosine + side * step, **own) for side in (1, -1)]
            at = min(range(len(measured.DEGREES)), key=lambda i: abs(measured.DEGREES[i] - 60))
            assert slopes[name][at] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=0.02)


def test_a_record_of_another_version_is_refused(tmp_path: Path):
    path = tmp_path / "who-computes.json"
    for text, said in (
        ("{", "expected JSON"),
        ('{"schema_version": 9}', "schema version 1; got 9"),
    ):
        path.write_text(text)
        with pytest.raises(RecordError, match=said):
            program_records.read(path, who_computes.SCHEMA_VERSION)
