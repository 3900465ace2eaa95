"""The page of a quality run: says what the records say, with intervals, links and reasons."""

from __future__ import annotations

import json
import lzma
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from page_reader import Page
from synthetic_quality import (
    ARMS,
    CLAIM,
    DIVERGED,
    MISSING,
    NOISE,
    PUBLISHED,
    SEEDS,
    Maker,
    one_claim,
    report,
    write,
)

from benchmarks.records.folders import MARKER
from reports.quality import judging
from reports.quality.build import build
from suites.quality.intervals import holm, interval, paired

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True, scope="module")
def _stand_ins():
    with one_claim():
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(tmp_path_factory.mktemp("run"), Maker().lines())
    assert build(folder) == folder / "index.html"
    return folder


@pytest.fixture(scope="module")
def page(built: Path) -> Page:
    return Page((built / "index.html").read_text())


@pytest.fixture(scope="module")
def summary(built: Path) -> dict:
    return json.loads((built / "summary.json").read_text())


def _values(built: Path, arm: str, metric: str = "map_at_r") -> dict[int, float]:
    """Straight from the lines of the record."""
    lines = map(json.loads, (built / "records.jsonl").read_text().splitlines())
    return {line["seed"]: line["metrics"][metric] for line in lines
            if line["kind"] == "training" and line["study"] == "closed" and line["arm"] == arm
            and line["status"] == "ok"}  # fmt: skip


def test_every_section_is_there_in_order(page: Page):
    assert [attributes["id"] for attributes in page.named("section")] == [
        "answer", "closed-digits", "search", "claims", "published", "missing", "provenance",
        "runs",
    ]  # fmt: skip


def test_the_answer_names_the_highest_mean_and_what_it_differs_from_significantly(
    page: Page, summary: dict, built: Path
):
    (made,) = summary["tables"]
    means = {arm: interval(list(_values(built, arm).values())).estimate for arm in ARMS}
    assert made["highest_mean"] == max(means, key=means.__getitem__)
    # Planted: two arms alike, one far below.
    assert made["significantly_different_from"] == ["softmax/linear"]
    assert f"{made['highest_mean']} has the highest MAP@R" in page.seen
    assert re.search(r"Claim \d+ \([^)]+\): reproduced, tried on digits \(MLP\)\.", page.seen)
    assert page.seen.count("digits (MLP)") >= 3, "and beside each verdict"
    assert "A verdict holds for the data and the networks that it was tried on" in page.seen


@pytest.mark.parametrize("arm", ARMS)
def test_a_row_is_the_mean_over_all_seeds(arm: str, built: Path, page: Page, summary: dict):
    values = _values(built, arm)
    over = interval(list(values.values()))
    assert over.high is not None and over.count == len(SEEDS)
    assert over.estimate == pytest.approx(ARMS[arm], abs=3 * NOISE)
    assert f"{over.estimate:.3f} ± {over.high - over.estimate:.3f}" in page.seen
    made = summary["tables"][0]["rows"][arm]["metrics"]["map_at_r"]
    assert made["mean"] == pytest.approx(over.estimate, rel=1e-8)
    assert made["by_seed"] == {str(seed): value for seed, value in values.items()}
    for value in values.values():
        assert f"{value:.3f}" in page.seen, "and every seed's value stands on the page"


def test_differences_are_paired_and_corrected_over_all_pairs(built: Path, summary: dict):
    found = summary["tables"][0]["differences"]
    values = {arm: _values(built, arm) for arm in (*ARMS, "contrastive/all-pairs")}
    pairs = [paired(values[one["a"]], values[one["b"]]) for one in found]
    assert len(found) == 6
    known = [one.p_value for one in pairs if one.p_value is not None]
    assert len(known) == 3, "one shared seed gives no p-value"
    corrected = iter(holm(known))
    for one, pair in zip(found, pairs, strict=True):
        assert one["mean"] == pytest.approx(pair.difference.estimate, abs=1e-8)
        expected = None if pair.p_value is None else next(corrected)
        assert one["p_holm"] == (None if expected is None else pytest.approx(expected, rel=1e-6))


def test_a_lucky_seed_of_a_failing_arm_is_never_first(tmp_path: Path):
    maker = Maker(seeds=(0, 1))
    lines = [maker.training("closed", "softmax/linear", seed, 0.5) for seed in (0, 1)]
    lines += [maker.training("closed", "triplet/hard", 0, 0.99),
              maker.training("closed", "triplet/hard", 1, 0.99, status="worse",
                             reason=DIVERGED)]  # fmt: skip
    page = report(tmp_path, maker.lines(lines))
    assert "softmax/linear has the highest MAP@R" in page.seen
    assert "1 of 2" in page.seen and DIVERGED in page.seen


def test_what_failed_stands_there_with_its_reason(page: Page, built: Path):
    assert f"✗ 1 diverged: {DIVERGED}" in page.seen
    assert f"✗ 1 not run: {MISSING}" in page.seen
    assert "1 training diverged and are in no mean" in page.seen
    text = (built / "report.md").read_text()
    section = text[text.index("Not run, and diverged\n") :]
    assert DIVERGED in section and MISSING in section


def test_the_untrained_network_is_a_row(page: Page, summary: dict):
    assert "untrained network" in page.seen
    assert summary["tables"][0]["untrained"]["metrics"]["map_at_r"]["mean"] == 0.2


def test_the_protocol_stands_beside_the_table(page: Page):
    table = page.seen.index("The protocol")
    assert "10 folds, threshold of the others" in page.seen[table:]
    assert "train and test identities share none" in page.seen[table:]


def test_every_training_has_its_run_and_its_command(page: Page, built: Path):
    lines = map(json.loads, (built / "records.jsonl").read_text().splitlines())
    for line in (one for one in lines if one["kind"] == "training"):
        again = shlex.join(["marginbench", "quality", "again", "records.jsonl", line["name"]])
        assert again in page.seen
        for value in line["mlflow"].values():
            assert value in page.seen
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "each id once"
    links = [a["href"] for a in page.named("a")]
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    runs = [link for link in links if link.startswith("#run-")]
    assert {f"#{one}" for one in ids if one.startswith("run-")} == set(runs)


def test_claims_are_judged_anew_and_drawn(page: Page):
    for text in (CLAIM.statement, CLAIM.source, CLAIM.criterion, "✓ reproduced",
                 "MAP@R grows with m", "MAP@R of m4"):  # fmt: skip
        assert text in page.seen
    names = {figure["id"] for figure in page.named("figure")}
    assert {f"claim-margin-grows-{n}" for n in ("map-1", "means-2", "features-3", "far-4")} <= names
    assert "Unknown claim: of-tomorrow" in page.seen


def test_a_claim_that_breaks_takes_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(trainings):
        raise KeyError("no such arm")

    monkeypatch.setattr(judging, "known", lambda: [
        replace(CLAIM, judge=broken), replace(CLAIM, name="other", number=5),
        replace(CLAIM, number=6, plots=broken)])  # fmt: skip
    page = report(tmp_path, Maker(seeds=(0, 1)).lines())
    assert "it could not be judged: KeyError" in page.seen
    assert "its figures could not be made: KeyError" in page.seen
    assert "no network of it was trained in this run" in page.seen


def test_published_tables_are_marked(page: Page):
    made = PUBLISHED
    assert f"{made.title} (published, other data)" in page.seen
    assert made.source in page.seen and made.rows[0][1] in page.seen


def test_the_search_says_space_budget_and_best_trial(page: Page):
    assert "4 of 4" in page.seen and "Trials of softmax/linear (4)" in page.seen
    assert "History of the search" in page.seen


def test_it_needs_nothing_else_and_stays_small(built: Path, page: Page):
    assert page.named("script") == [{}] and not page.named("link") and not page.named("img")
    text = (built / "index.html").read_text()
    assert set(re.findall(r"https?://[^\"' <)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", text))
    assert len(text) < 600_000


def test_figures_can_be_read_without_seeing_them(built: Path, page: Page):
    svgs = page.named("svg")
    files = list((built / "figures").glob("*.svg"))
    assert len(svgs) == len(page.named("figure")) == len(files) >= 10
    assert page.seen.count("Data behind this figure") == len(files)
    for path in files:
        root = ElementTree.fromstring(path.read_text())
        (described,) = [one.text for one in root.iter() if one.tag.endswith("desc")]
        assert described and described.strip()


def test_a_cloud_of_a_thousand_images_is_small(tmp_path: Path):
    maker = Maker(images=1000, identities=40)
    lines = [maker.training("closed", arm, 0, 0.5) for arm in ARMS]
    report(tmp_path, maker.lines(lines))
    path = tmp_path / "figures" / "closed-digits-embeddings.svg"
    assert path.stat().st_size < 120_000
    strokes = sum(d.count("M") for d in re.findall(r' d="(M[^"]*h\.1[^"]*)"', path.read_text()))
    assert strokes > 1000, "dots of identities without a look of their own"


def test_the_same_records_give_the_same_bytes_without_torch(built: Path, tmp_path: Path):
    """In another process, with other hashes, from another folder, compressed."""
    content = (built / "records.jsonl").read_bytes()
    (tmp_path / "records.jsonl.xz").write_bytes(lzma.compress(content))
    code = (
        "import sys; sys.path.insert(0, 'tests/support')\n"
        "from pathlib import Path; from synthetic_quality import CLAIM, PUBLISHED\n"
        "from reports.quality import judging, published; from reports.quality.build import build\n"
        "assert len(judging.known()) == 7 and published.known()\n"
        "judging.known = lambda: [CLAIM]; published.known = lambda: [PUBLISHED]\n"
        f"build(Path({str(tmp_path)!r}))\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr, "nor a warning"
    assert not set(result.stdout.split()) & {"torch", "triton", "mlflow", "optuna", "sklearn"}
    names = {path.relative_to(built) for path in built.rglob("*") if path.is_file()}
    # The marker lists a packed record too, which publishing wrote.
    for name in names - {Path("records.jsonl"), Path(MARKER)}:
        said = (built / name).read_bytes()
        again = (tmp_path / name).read_bytes().replace(b"records.jsonl.xz", b"records.jsonl")
        # How MLflow's side is opened differs: what is packed has it as files.
        said, again = (re.sub(rb"MLflow\S*s (runs|side)[^<\n]*", b"", one) for one in (said, again))
        assert said == again, name
