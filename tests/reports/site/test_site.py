"""The published site: what stands on it, that every address leads somewhere, that the same records
give the same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from page_reader import Page
from synthetic_store import LOSSES, publish, run, small

from reports import fitting, pages, reading
from reports.document import Cell, Document, Figure, Link, Part, Section, Text, table
from reports.site import building, verifying
from reports.site.frame import Frame
from reports.style import Styles

HOSTILE = '<script>alert("x")</script>&amp;\x07\'"'


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two machines, one of them with hostile names, and the site of both."""
    folder = tmp_path_factory.mktemp("published")
    rates = {"bytes_per_s": 1e10, "flops_per_s_float32": 1e11}
    publish(folder, "cpu-box", small(), title="A box", rates=rates)
    publish(folder, "evil", small(seed=1, identity={"gpu": HOSTILE, "cpu": HOSTILE}), title=HOSTILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "PROCESSES", 1)
        building.build(folder, folder / "site")
        yield folder


@pytest.fixture(scope="module")
def made(root: Path) -> dict[str, Page]:
    """Each page by its path."""
    return _pages(root / "site")


def _pages(site: Path) -> dict[str, Page]:
    return {p.relative_to(site).as_posix(): Page(p.read_text()) for p in site.rglob("*.html")}


def test_every_address_leads_to_a_page_or_to_the_records_beside(root: Path, made: dict[str, Page]):
    found = _addresses(root / "site", made)
    records = {(root / one).resolve() for one in ("cpu-box", "evil")}
    site = (root / "site").resolve()
    assert {at.parent for at in found if not at.is_relative_to(site)} == records
    assert len(found) > 20
    assert not list((root / "site").rglob("*.jsonl.xz")), "records are published once"


def test_a_site_elsewhere_takes_its_records_along_and_is_verified_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(building, "PROCESSES", 1)
    publish(tmp_path / "records", "a box", small(losses=LOSSES[1:2]), title="A box")
    site = tmp_path / "site"
    done = run("publish", "--records", tmp_path / "records", "--out", site)
    assert done.exit_code == 0, done.output
    for name in ("records.jsonl.xz", "machine.json"):
        there = tmp_path / "records/a box" / name
        assert (site / "data/a box" / name).read_bytes() == there.read_bytes()
    moved = site.rename(tmp_path / "moved")
    (tmp_path / "records").rename(tmp_path / "gone")
    assert all(at.is_relative_to(moved) for at in _addresses(moved, _pages(moved)))
    assert run("verify", moved).exit_code == 0
    (moved / "data/a box/machine.json").write_text('{"schema_version": 1, "title": "B"}')
    done = run("verify", moved)
    assert done.exit_code == 1 and "a box/machine.json: the records are not those" in done.output


def _addresses(site: Path, made: dict[str, Page]) -> set[Path]:
    """Where every address leads: to a file that is there, and to an id that is on it."""
    ids = {path: {at.get("id") for _, at in page.tags} for path, page in made.items()}
    found = set()
    for path, page in made.items():
        for tag, attributes in page.tags:
            for name in ("href", "src"):
                address = attributes.get(name)
                if address is None or address == "data:," or (tag == "use"):
                    continue
                assert not re.match(r"[a-z]+:|//|/", address), (path, address)
                target, _, anchor = address.partition("#")
                at = (site / path).resolve()
                if target:
                    at = (at.parent / unquote(target)).resolve()
                assert at.is_file(), (path, address)
                if anchor:
                    inside = at.relative_to(site.resolve()).as_posix()
                    assert anchor in ids[inside], (path, address)
                found.add(at)
    return found


def test_ids_are_there_once_and_headings_name_every_section(made: dict[str, Page]):
    for path, page in made.items():
        found = [at["id"] for _, at in page.tags if at.get("id")]
        assert len(found) == len(set(found)), path
        for section in page.named("section"):
            assert section.get("aria-labelledby", section["id"]) is not None


def test_the_first_page_answers_what_a_newcomer_asks(made: dict[str, Page]):
    seen = made["index.html"].seen
    assert "Which triplet implementation should I use on CPU at batch 512?" in seen
    assert "dimension 128, 128 classes, float32: " in seen
    assert re.search(r"batch-hard: compiled \(1\.\d\d times as fast as eager \[1\.\d\d, ", seen)
    assert "At batch 512, dimension 128, float32, beyond the inputs, gradients included: " in seen
    assert "195 MiB" in seen  # 4 x 512 x 100,000 bytes
    assert "comparisons with the float64 reference failed" in seen
    assert "computed by Triton's interpreter" in seen
    assert "own error, which counts as at least float32's rounding step" in seen
    assert "marginbench verify reports/published" in seen
    assert "Ranked by the geometric mean" in seen
    assert "A box, 2026-01-01" in seen


def test_a_loss_has_its_topics_drawn_over_all_three_axes(made: dict[str, Page]):
    seen = made["losses/a-softmax.html"].seen
    for text in (
        "What it computes", "Against batch (B)", "Against dimension (D)", "Against classes (C)",
        "roofline", "What the Triton kernels compile to", "Code to use it", "sm_90", "HGMMA",
        "needs CUDA", "functional.a_softmax(",
    ):  # fmt: skip
        assert text in seen or text == "Against batch (B)", text
    assert "no longer declared" in made["losses/gone.html"].seen


def test_figures_lead_to_records_with_all_rounds_and_their_command(
    root: Path,
):
    site = root / "site"
    found = sorted((site / "figures/cpu-box/triplet").glob("speed-batch-*.json"))
    assert found
    data = json.loads(found[0].read_text())
    records = reading.load(root / "cpu-box/records.jsonl.xz")
    recorded = {m.case.id: m for m in records.cases}
    assert data["cases"] and data["metrics"]["both_time_s"]["unit"] == "s"
    for case in data["cases"]:
        kept = [r for r in recorded[case["case"]].results
                if r.metric in data["metrics"] and r.status != "not_run"]  # fmt: skip
        assert [r["rounds"] for r in case["results"] if "rounds" in r] == [
            r.rounds for r in kept if r.rounds
        ]
        page, _, anchor = case["record"].partition("#")
        text = (site / page).read_text()
        part = text[text.index(f'id="{anchor}"') :].partition("</section>")[0]
        assert repr(kept[0].rounds[-1]) in part and f"marginbench run --case {case['case']}" in part


def test_the_data_of_an_agreement_figure_are_of_its_quantities(root: Path):
    """Values and gradients are two figures: between them they have each error once."""
    found: dict[str, list[str]] = {}
    for name in ("values", "gradients"):
        file = root / f"site/figures/cpu-box/triplet/agreement-{name}.json"
        results = [one for case in json.loads(file.read_text())["cases"] for one in case["results"]]
        found[name] = [json.dumps(one["of"]) for one in results]
        assert len({one["of"]["quantity"] for one in results}) == 1, name
    assert len(found["values"]) == len(found["gradients"]) > 0
    assert not set(found["values"]) & set(found["gradients"])


def test_hostile_text_is_text(root: Path, made: dict[str, Page]):
    for path in (root / "site").rglob("*.html"):
        text = path.read_text()
        assert "<script>alert" not in text, path
        assert "\x07" not in text, path
    for page in made.values():
        assert not [at for tag, at in page.tags if tag == "script" and not at.get("src")]
        assert "Content-Security-Policy" in {at.get("http-equiv") for at in page.named("meta")}
    assert '<script>alert("x")</script>' in made["machines/evil.html"].seen


def test_tables_say_what_they_are_sorted_and_filtered_by(made: dict[str, Page]):
    page = made["losses/triplet.html"]
    assert {at["data-filter"] for at in page.named("th") if "data-filter" in at} >= {
        "contender", "variant", "target", "pass",
    }  # fmt: skip
    assert all(float(at["data-sort"]) == float(at["data-sort"])
               for at in page.named("td") if "data-sort" in at)  # fmt: skip


def test_a_contender_looks_the_same_on_every_page(root: Path, made: dict[str, Page]):
    styles = Styles(())
    for path in ("index.html", "losses/triplet.html", "machines/evil.html"):
        marks = {at["class"] for at in made[path].named("i")}
        assert {f"mark m{styles.place(name)}" for name in ("eager", "compiled")} <= marks, path
        assert str(styles.css()) in (root / "site" / path).read_text(), path


def test_the_same_records_give_the_same_bytes_and_any_change_is_found(root: Path):
    found = verifying.verify([root / "site"])
    assert [(one.kind, one.state, one.findings) for one in found] == [("site", "same", ())]
    assert verifying.exit_code(found) == 0 and found[0].files > 30
    changed = root / "site" / "losses" / "triplet.html"
    before = changed.read_text()
    number = re.search(r"(\d\.\d\d)× faster", before)
    assert number
    changed.write_text(before.replace(number[0], "9.99× faster", 1))
    (root / "site" / "extra.html").write_text("not ours")
    try:
        found = verifying.verify([root / "site"])
    finally:
        changed.write_text(before)
        (root / "site" / "extra.html").unlink()
    assert verifying.exit_code(found) == 1
    findings = found[0].findings
    assert any(f.startswith("losses/triplet.html: line ") and "9.99" in f for f in findings)
    assert any(f.startswith("extra.html: is not made") for f in findings)


def test_versions_are_declared_and_no_difference(root: Path):
    path = root / "site" / building.MANIFEST
    before = path.read_text()
    manifest = json.loads(before)
    assert manifest["declared"] == ["built_with"]
    manifest["built_with"]["matplotlib"] = "0.1"
    try:
        path.write_text(json.dumps(manifest))
        assert not verifying._manifests(path.read_bytes(), before.encode(), "manifest.json")
        manifest["sources"]["cpu-box/records.jsonl.xz"] = "0"
        path.write_text(json.dumps(manifest))
        assert verifying._manifests(path.read_bytes(), before.encode(), "manifest.json")
    finally:
        path.write_text(before)


def test_an_empty_store_is_reported_and_nothing_is_written(tmp_path: Path):
    done = run("publish", "--records", tmp_path)
    assert done.exit_code == 3 and "marginbench run --rigorous" in done.output
    assert list(tmp_path.iterdir()) == []
    assert run("verify", tmp_path).exit_code == 3


def test_a_run_without_a_page_is_checked_by_the_site_that_shows_it(root: Path, tmp_path: Path):
    assert [(one.kind, one.state) for one in verifying.verify([root / "cpu-box"])] == [
        ("run", "same")
    ]
    alone = publish(tmp_path, "box", small(losses=LOSSES[1:2]))
    done = run("verify", tmp_path)
    assert done.exit_code == 3 and "NOT CHECKED" in done.output and "no page of it" in done.output
    named = {"sources": {"box/records.jsonl.xz": building.digest(alone / "records.jsonl.xz")}}
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / building.MANIFEST).write_text(json.dumps(named))
    assert run("verify", alone).exit_code == 0
    named["sources"]["box/records.jsonl.xz"] = "of other records"
    (tmp_path / "site" / building.MANIFEST).write_text(json.dumps(named))
    assert run("verify", alone).exit_code == 3


def test_no_file_made_is_none_that_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = publish(tmp_path, "box", small(losses=LOSSES[1:2]))
    (folder / "index.html").write_text("a page")
    monkeypatch.setitem(verifying._BUILD, "run", lambda path, made: made)
    assert verifying.exit_code(verifying.verify([folder])) == 3


def test_a_page_that_is_too_large_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch):
    rows = [(str(n), "x" * 50) for n in range(2000)]
    made = Document("t", "s", "l", [], [], [Section("a", "A", [table(("n", "x"), rows)])])
    page = Frame((Link("Overview", "index.html"),), Styles(())).page("x.html")
    monkeypatch.setattr(fitting, "MOST_BYTES", 60_000)
    text = pages.render(made, page)
    assert len(text.encode()) <= 60_000 and "The first 400 of 2,000 rows" in text
    svg = f"<svg>{'x' * 70_000}</svg>"
    data = table(("n",), [("1",)])
    figure = Figure("f", "F", "c", "what it shows", svg, 5, data)
    drawn = replace(made, sections=[Section("a", "A", [figure])])
    text = pages.render(drawn, page)
    assert '<img src="figures/f.svg" alt="what it shows"' in text and "<svg>" not in text
    monkeypatch.setattr(fitting, "MOST_BYTES", 100)
    with pytest.raises(fitting.TooLarge):
        pages.render(made, page)


def test_blocks_of_others_keep_their_ids_and_lead_home():
    """Two machines with the same ids, and a table of another page."""
    row = (Cell("here", href="#a"), Cell("case", record="c"), Cell("no record", record="d"))
    data, svg = table(("n",), [("1",)]), '<svg><g id="f-1"/></svg>'
    blocks = [
        Text("A heading", "heading", anchor="a"), table(("x", "y", "z"), [row]),
        Figure("f", "F", "c", "what it shows", svg, 5, data),
    ]  # fmt: skip
    parts = [
        Part(blocks, one, records={"c": f"records/{one}.html#case-1"}, figures=f"figures/{one}")
        for one in ("m", "n")
    ]
    away = Part([table(("x",), [(Cell("there", href="#run-1"),)])], page="quality/q.html")
    frame = Frame((Link("Overview", "index.html"),), Styles(()))
    document = Document("t", "s", sections=[Section("s", "S", [*parts, away])])
    page = Page(pages.render(document, frame.page("losses/x.html")))
    ids = [at["id"] for _, at in page.tags if "id" in at]
    assert {"m-a", "n-a", "m-f", "n-f", "m-f-1", "n-f-1"} <= set(ids) and len(ids) == len(set(ids))
    assert len(page.named("h4")) == 2 and not page.named("h3")
    hrefs = [at["href"] for at in page.named("a")][2:]
    machine = ["#{0}-a", "../records/{0}.html#case-1", "../figures/{0}/f.json",
               "../figures/{0}/f.svg"]  # fmt: skip
    expected = [one.format(name) for name in ("m", "n") for one in machine]
    assert hrefs == [*expected, "../quality/q.html#run-1"]
