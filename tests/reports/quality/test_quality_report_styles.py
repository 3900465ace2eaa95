"""The page of a quality run as people read it: what fits, what is named, what is called first."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_quality import ARMS, Maker, one_claim, report

from reports import style
from reports.plot import legend_columns
from reports.quality import judging, plots
from reports.quality.build import build
from suites.claims import catalogue
from suites.claims.claim import Line, Panel, Plot
from suites.quality.intervals import interval, paired


@pytest.fixture(autouse=True, scope="module")
def _stand_ins():
    with one_claim():
        yield


def _lead(folder: Path) -> str:
    return (folder / "report.md").read_text().split("\n\n")[2]


@pytest.mark.parametrize("untrained", [0.9, 0.1])
def test_no_loss_is_first_where_training_gained_nothing(tmp_path: Path, untrained: float):
    maker = Maker(seeds=(0, 1, 2))
    lines = []
    for arm in ARMS:
        for seed in maker.seeds:
            one = maker.training("closed", arm, seed, ARMS[arm])
            start = {**one.epochs[0], "map_at_r": untrained + 0.001 * seed}
            lines.append(replace(one, epochs=[start, *one.epochs[1:]]))
    page = report(tmp_path, maker.lines(lines))
    lead = _lead(tmp_path)
    if untrained > 0.5:
        assert "no loss has a higher MAP@R than the untrained network, 0.901" in lead
        assert "has the highest" not in lead
    else:
        assert "has the highest MAP@R" in lead and "untrained" not in lead
    of = {one.seed: one for one in lines if one.arm == "softmax/linear"}
    after = {seed: one.metrics["map_at_r"] for seed, one in of.items()}
    gained = paired(after, {seed: untrained + 0.001 * seed for seed in of}).difference
    assert gained.high is not None
    assert f"{gained.estimate:+.3f} ± {gained.high - gained.estimate:.3f}" in page.seen


def test_a_gain_that_is_not_sure_is_reported(tmp_path: Path):
    maker = Maker(seeds=(0, 1))
    lines = []
    for seed in maker.seeds:
        one = maker.training("closed", "softmax/linear", seed, 0.6)
        start = {**one.epochs[0], "map_at_r": 0.55 if seed else 0.1}
        lines.append(replace(one, epochs=[start, *one.epochs[1:]]))
    report(tmp_path, maker.lines(lines))
    assert "not significantly above the untrained network's" in _lead(tmp_path)


def test_the_main_table_is_narrow_and_the_rest_stands_in_the_next(tmp_path: Path):
    report(tmp_path, Maker(seeds=(0, 1)).lines())
    text = (tmp_path / "report.md").read_text()
    heads = [line for line in text.splitlines() if line.startswith("| loss |")]
    main, more = heads[0], heads[1]
    assert main.count("|") - 1 <= 9 and "MAP@R" in main and "gained by training" in main
    for name in ("TAR at FAR 0.1%", "angle inside", "spread", "images/s", "peak memory"):
        assert name not in main and name in more


def test_a_single_seed_is_said_once(tmp_path: Path):
    maker = Maker(seeds=(0,))
    page = report(tmp_path, maker.lines([maker.training("closed", arm, 0, 0.5) for arm in ARMS]))
    assert "(1 seed)" not in page.seen
    assert page.seen.count("A single seed gives no interval.") == 1


def test_what_that_many_seeds_can_show_stands_beside_the_differences(tmp_path: Path):
    """Three arms, three seeds, three pairs: t(1 - 0.05 / 6; 2) = 7.65, over the root of 3."""
    maker = Maker(seeds=(0, 1, 2))
    lines = [maker.training("closed", arm, s, ARMS[arm]) for arm in ARMS for s in maker.seeds]
    page = report(tmp_path, maker.lines(lines))
    assert f"at least {7.6488 / math.sqrt(3):.1f} times its standard deviation" in page.seen


def test_a_verdict_names_its_data_and_networks():
    form = [job for claim in catalogue.claims() for job in claim.jobs("full", [0], "cpu")]
    maker = Maker()
    made = [
        replace(maker.training("closed", job.arm, 0, 0.5, job.dataset), job=job.plain())
        for job in form if job.study == "claims/center-spread"
    ]  # fmt: skip
    assert judging.scope(made) == "Fashion-MNIST (MLP, LeNet++)"
    assert judging.scope([]) == ""


def _points(labels: list[str]) -> Plot:
    lines = tuple(Line(text, (float(i),), (0.5,), (0.4,), (1.7,)) for i, text in enumerate(labels))
    return Plot("p", "P", "points", "rule", "MAP@R", (Panel("", lines),), "alt")


def test_marks_are_named_at_their_places_and_no_name_is_cut_off():
    labels = ["batch-hard free", "offline-semi-hard free", "softmax"]
    svg = plots.draw(_points(labels), "p").svg
    for label in labels:
        assert len(re.findall(f"<!-- {label} -->", svg)) + svg.count(f">{label}<") == 1
    assert plots.places([Panel("", (Line("a", (0.0,), (1.0,)), Line("b", (0.0,), (1.0,))))]) == {}


def test_the_legend_has_room_for_its_names():
    assert legend_columns(["a", "b", "c", "d", "e"], 6) == 4
    assert legend_columns(["annealed to 0, a thousand identities", "b", "c"], 4.6) == 1


def test_an_axis_of_shares_ends_where_shares_do():
    """The interval of the made-up marks reaches to 1.7."""
    drawn = plots.draw(_points(["a", "b"]), "p").svg
    assert "1.5" not in re.findall(r"<!-- ([\d.−]+) -->|>([\d.−]+)</text>", drawn).__repr__()
    assert ElementTree.fromstring(drawn) is not None


def test_a_loss_looks_the_same_in_the_claims_figures():
    known = style.LossStyles(["a-softmax/m4", "center/joint", "softmax/linear"])
    found = plots.by_label(["center", "softmax", "other"], known)
    assert found["center"] == known["center/joint"]
    assert found["softmax"] == known["softmax/linear"]
    assert found["other"].colour not in {known[key].colour for key in known.order[1:]}


def test_second_hand_tables_say_so_in_their_caption(tmp_path: Path, monkeypatch):
    from reports.quality import published
    from suites.published import tables

    monkeypatch.setattr(published, "tables", tables)
    maker = Maker(seeds=(0, 1))
    page = report(tmp_path, maker.lines())
    assert page.seen.count("(published, other data; second-hand)") == 1
    assert page.seen.count("(published, other data; read off a plot)") == 1
    assert build(tmp_path).is_file()


@pytest.mark.parametrize("seeds", [(0, 1, 2), (0,)])
def test_roc_curves_carry_their_interval_over_seeds_and_can_be_picked(tmp_path: Path, seeds: tuple):
    maker, accepted = Maker(seeds=seeds), []
    lines = [maker.training("closed", arm, s, ARMS[arm]) for arm in ARMS for s in seeds]
    page = report(tmp_path, maker.lines(lines))
    arm = next(iter(ARMS))
    for one in lines:
        if one.arm == arm:
            far, tar = one.series["roc_far"], one.series["roc_tar"]
            accepted.append(max(t for f, t in zip(far, tar, strict=True) if f <= 0.1))
    assert len(accepted) == len(seeds)
    found = interval(accepted)
    expected = f"{found.estimate:.3f}"
    if found.high is not None:
        expected += f" ± {found.high - found.estimate:.3f}"
    assert expected in page.seen
    html = (tmp_path / "index.html").read_text()
    (svg,) = re.findall(r"<svg[^>]*>(?:(?!</svg>).)*ROC curves.*?</svg>", html, re.DOTALL)[:1]
    drawn = re.findall(rf'<g data-contender="[^"]*{arm}[^"]*">(.*?)</g>', svg, re.DOTALL)
    bands = [one for one in drawn if "opacity: 0.12" in one]
    assert len(bands) == (1 if len(seeds) > 1 else 0) and len(drawn) > len(bands)
    # A path of its own: the page's script moves those, and not what is defined and placed.
    assert all("<defs" not in one and re.search(r'<path d="M [^"]* z', one) for one in bands)
