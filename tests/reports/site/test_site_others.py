"""Training quality and the gate's trial on the site; and that verify knows their pages."""

from __future__ import annotations

import functools
import json
import lzma
from pathlib import Path
from types import SimpleNamespace

import pytest
import synthetic_quality
import synthetic_trust
from page_reader import Page
from synthetic_trust import Maker

from reports.gate.trust.findings import findings
from reports.quality import reading
from reports.quality.build import build as build_quality
from reports.site import building, front, others, verifying


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("published")
    trial = folder / "gate-trust" / "box"
    trial.mkdir(parents=True)
    synthetic_trust.write(trial, Maker({**synthetic_trust.NULL, **synthetic_trust.SLOWED}))
    packed(trial / "trust.jsonl")
    quality = folder / "quality" / "small"
    maker = synthetic_quality.Maker(seeds=(0, 1), images=20, identities=3)
    synthetic_quality.write(quality, maker.lines())
    packed(quality / "records.jsonl")
    few = functools.partial(findings, replays=20, intervals=20)
    with synthetic_quality.one_claim(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(others, "findings", few)
        patch.setattr(building, "PROCESSES", 1)
        building.build(folder, folder / "site")
        yield folder


def packed(path: Path) -> None:
    path.with_name(f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes()))
    path.unlink()


def test_the_first_page_says_which_loss_and_links_to_all_of_it(root: Path):
    page = Page((root / "site/index.html").read_text())
    assert "Which loss gave the best embeddings" in page.seen
    assert "No run of the suites is published yet" in page.seen
    hrefs = {at.get("href", "") for at in page.named("a")}
    assert {"quality/small.html", "gate.html"} <= hrefs
    assert any(href.startswith("quality/small.html#") for href in hrefs)


def test_a_training_page_and_the_trials_lead_to_their_records(root: Path):
    page = Page((root / "site/quality/small.html").read_text())
    again = "marginbench quality again reports/published/quality/small/records.jsonl.xz NAME"
    assert again in page.seen
    assert "reports/published/quality/small/records.jsonl.xz" in page.seen, "where it is in a clone"
    trial = Page((root / "site/gate/box.html").read_text())
    for made, records in ((page, "quality/small/records"), (trial, "gate-trust/box/trust")):
        hrefs = {at.get("href", "") for at in made.named("a")}
        assert {"../index.html", "../gate.html", f"../../{records}.jsonl.xz"} <= hrefs
    assert len(trial.named("svg")) == 5 == len(list((root / "site/figures/gate/box").glob("*.svg")))
    assert json.loads((root / "site/gate/box.json").read_text())["targets"]
    assert json.loads((root / "site/quality/small.json").read_text())["tables"]
    listed = Page((root / "site/gate.html").read_text())
    assert "not measured" in listed.seen and "gate/box.html" in {
        at.get("href") for at in listed.named("a")
    }


def test_records_without_pages_are_verified_by_the_site(root: Path):
    """Its pages are in the site only; a page that lies beside them is built again too."""
    for folder, kind in ((root / "quality", "quality run"), (root / "gate-trust", "gate's trial")):
        found = verifying.verify([folder])
        assert [(one.kind, one.state, one.files) for one in found] == [(kind, "same", 0)]
    build_quality(root / "quality" / "small")
    path = root / "quality" / "small" / "summary.json"
    try:
        found = verifying.verify([root / "quality"])
        assert [(one.state, one.findings) for one in found] == [("same", ())] and found[0].files
        path.write_text(path.read_text().replace("0.", "1.", 1))
        assert verifying.exit_code(verifying.verify([root / "quality" / "small"])) == 1
    finally:
        for made in [*path.parent.glob("*.*"), *path.parent.glob("figures/*")]:
            if made.is_file() and made.name != "records.jsonl.xz":
                made.unlink()


def test_other_records_than_the_sites_are_reported(root: Path):
    path = root / "gate-trust" / "box" / "trust.jsonl.xz"
    before = path.read_bytes()
    try:
        path.write_bytes(lzma.compress(lzma.decompress(before), preset=0))
        found = verifying.verify([root / "gate-trust"])
        assert [one.state for one in found] == ["not checked"]
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("clone", (".", "..", "elsewhere"))
def test_published_pages_say_the_same_wherever_they_lie(
    root: Path, clone: str, monkeypatch: pytest.MonkeyPatch
):
    """Inside the clone, as committed, or moved out of it."""
    monkeypatch.setattr(reading, "ROOT", (root / clone).resolve())
    found = verifying.verify([root / "site"])
    assert [(one.kind, one.state, one.findings) for one in found] == [("site", "same", ())]


def test_a_quality_record_is_named_as_it_is_typed_in_the_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reading, "ROOT", tmp_path / "clone")
    packed, plain = "digits/records.jsonl.xz", "digits/records.jsonl"
    for path, typed in {
        f"clone/reports/published/quality/{packed}": f"reports/published/quality/{packed}",
        f"moved/quality/{packed}": f"reports/published/quality/{packed}",
        f"clone/reports/out/quality/{plain}": f"reports/out/quality/{plain}",
        f"moved/{plain}": "records.jsonl",
    }.items():
        assert reading.typed(tmp_path / path) == typed


def test_the_first_page_leads_with_a_run_that_compares_losses():
    """A later one of claims alone says nothing of which loss to use."""
    timed = SimpleNamespace(cases=1, results=(1, 0, 0), devices=())
    runs = [
        others.Trained(name, name, f"{name} says.", [], "a machine", "2026-01-01", compares)
        for name, compares in (("losses", True), ("claims", False))
    ]
    assert "Training: losses says." in front._lead([SimpleNamespace(summary=timed)], runs)
    assert "Training: claims says." in front._lead([SimpleNamespace(summary=timed)], runs[1:])
