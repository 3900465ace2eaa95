"""Training quality and the gate's trial on the site; and that verify knows their pages."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import synthetic_quality
from page_reader import Page

from benchmarks.records import RecordError
from reports.quality import reading
from reports.quality.build import build as build_quality
from reports.site import building, front, others, verifying

TRIAL = Path(__file__).resolve().parents[3] / "reports/published/gate-trust/xeon-2-cores"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(TRIAL, folder / "gate-trust" / "xeon-2-cores")
    quality = folder / "quality" / "small"
    maker = synthetic_quality.Maker(seeds=(0, 1), images=20, identities=3)
    synthetic_quality.write(quality, maker.lines())
    plain = quality / "records.jsonl"
    (quality / "records.jsonl.xz").write_bytes(lzma.compress(plain.read_bytes()))
    plain.unlink()
    with synthetic_quality.one_claim():
        build_quality(quality)
        building.build(folder, folder / "site")
        yield folder


def test_the_first_page_says_which_loss_and_links_to_all_of_it(root: Path):
    page = Page((root / "site/index.html").read_text())
    assert "Which loss gave the best embeddings" in page.seen
    assert "No run of the suites is published yet" in page.seen
    hrefs = {at.get("href", "") for at in page.named("a")}
    assert {"quality/small.html", "gate.html"} <= hrefs
    assert any(href.startswith("quality/small.html#") for href in hrefs)


def test_a_training_page_and_the_trials_stand_with_their_records(root: Path):
    page = Page((root / "site/quality/small.html").read_text())
    again = "marginbench quality again reports/published/quality/small/records.jsonl.xz NAME"
    assert again in page.seen
    trial = Page((root / "site/gate.html").read_text())
    assert "met" in trial.seen and "marginbench verify reports/published/gate-trust" in trial.seen
    copied = root / "site/gate/xeon-2-cores"
    for name in ("report.md", "trust.jsonl.xz", "figures/found.svg"):
        assert (copied / name).read_bytes() == (TRIAL / name).read_bytes()


def test_the_trials_page_leads_back_and_is_else_what_is_committed(root: Path):
    copied = root / "site/gate/xeon-2-cores/index.html"
    text = copied.read_bytes().decode()
    assert text.replace(others.WAY_BACK, "").encode() == (TRIAL / "index.html").read_bytes()
    page = Page(text)
    back = [at["href"] for at in page.named("a") if not at["href"].startswith("#")]
    assert [(copied.parent / href).resolve().relative_to(root / "site").as_posix()
            for href in back[:2]] == ["index.html", "gate.html"]  # fmt: skip
    tags = [(tag, at.get("class")) for tag, at in page.tags]
    assert tags.index(("a", "skip")) < tags.index(("nav", None)) < tags.index(("header", None))


def test_a_trials_page_that_is_none_is_refused(root: Path, tmp_path: Path):
    path = tmp_path / "index.html"
    path.write_text("<html><body>not ours</body></html>")
    with pytest.raises(RecordError, match=r"expected one <header> in .*gate-trust --page-only"):
        others._with_way_back(path)


def test_a_quality_page_is_verified_against_its_records(root: Path):
    found = verifying.verify([root / "quality"])
    assert [(one.kind, one.state, one.findings) for one in found] == [("quality run", "same", ())]
    path = root / "quality" / "small" / "summary.json"
    before = path.read_text()
    path.write_text(before.replace("0.", "1.", 1))
    try:
        assert verifying.exit_code(verifying.verify([root / "quality" / "small"])) == 1
    finally:
        path.write_text(before)


@pytest.mark.parametrize("clone", (".", "..", "elsewhere"))
def test_published_pages_say_the_same_wherever_they_lie(
    root: Path, clone: str, monkeypatch: pytest.MonkeyPatch
):
    """Inside the clone, as committed, or moved out of it."""
    monkeypatch.setattr(reading, "ROOT", (root / clone).resolve())
    found = verifying.verify([root / "quality"])
    assert [(one.kind, one.state, one.findings) for one in found] == [("quality run", "same", ())]


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
