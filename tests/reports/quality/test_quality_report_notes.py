"""What stands beside a table of losses: what a schedule left of a margin, what was waited for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_quality import ARMS, Maker, one_claim, report

from marginbench import catalogue
from reports.quality import notes
from reports.quality.build import build


@pytest.fixture(autouse=True, scope="module")
def _stand_ins():
    with one_claim():
        yield


def lines(maker: Maker, first: float, last: float, *waits: float) -> list:
    made = []
    for arm in ARMS:
        for seed in maker.seeds:
            one = maker.training("closed", arm, seed, ARMS[arm])
            term = {"loss": one.loss, "options_first": {"m": 4, "annealing": first, "kind": "a"},
                    "options_last": {"m": 4, "annealing": last, "kind": "a"}}  # fmt: skip
            epochs = [one.epochs[0], *({**one.epochs[-1], "data_wait_share": w} for w in waits)]
            terms = [term] if one.loss == "a-softmax" else []
            made.append(replace(one, settings={**one.settings, "terms": terms}, epochs=epochs))
    return maker.lines(made)


def test_a_schedule_is_reported_with_what_it_left_of_the_margin(tmp_path: Path):
    page = report(tmp_path, lines(Maker(seeds=(0, 1)), 1000.0, 19.0))
    assert ("annealing from 1,000 at the first step to 19.0 at the last, so that even then psi, "
            "which holds the margin, has 5% of the target's weight." in page.seen)  # fmt: skip
    page = report(tmp_path / "still", lines(Maker(seeds=(0, 1)), 5.0, 5.0))
    assert "changes on the way" not in page.seen


def test_a_loss_that_is_not_there_any_more_still_has_its_schedule_reported(tmp_path: Path):
    made = [
        replace(one, settings={**one.settings, "terms": [
            {**term, "loss": "gone"} for term in one.settings["terms"]
        ]}) if one.kind == "training" else one
        for one in lines(Maker(seeds=(0, 1)), 1000.0, 19.0)
    ]  # fmt: skip
    page = report(tmp_path, made)
    assert "annealing from 1,000 at the first step to 19.0 at the last." in page.seen


@pytest.mark.parametrize(
    "waits, said",
    [
        ((0.001, 0.003), "Steps waited for images 0.2% of the time (0.3% in the worst epoch that "
         "was recorded): the training, not the loader, takes the time."),
        ((0.2, 0.4), "Steps waited for images 30% of the time (40% in the worst epoch that was "
         "recorded), so images/s includes the loader."),
        ((0.0, 0.0), "less than 0.01% of the time"),
        ((), ""),
    ],
)  # fmt: skip
def test_waiting_for_images_is_reported_as_measured(tmp_path: Path, waits: tuple, said: str):
    page = report(tmp_path, lines(Maker(seeds=(0, 1)), 5.0, 5.0, *waits))
    assert said in page.seen
    assert ("Steps waited" in page.seen) == bool(said)
    assert notes.COSTS in page.seen and "images/s ↑" not in page.seen


def test_what_a_loss_says_of_its_schedule_is_true():
    """psi's weight in (lambda cos + psi) / (1 + lambda), at every lambda that it can have."""
    training = catalogue.get("a-softmax").training
    assert training is not None and training.amounts_to is not None
    for annealing, share in ((0.0, "100%"), (1.0, "50%"), (5.0, "17%"), (999.0, "0%")):
        assert f"has {share} of" in training.amounts_to({"annealing": annealing, "m": 4})


def test_a_published_page_says_how_mlflows_side_is_opened(tmp_path: Path):
    import lzma

    folder = tmp_path / "reports/published/quality/some-run"
    report(folder, lines(Maker(seeds=(0, 1)), 5.0, 5.0))
    assert "open with: make ui" in (folder / "index.html").read_text()
    plain = folder / "records.jsonl"
    (folder / "records.jsonl.xz").write_bytes(lzma.compress(plain.read_bytes()))
    plain.unlink()
    build(folder)
    page = (folder / "index.html").read_text()
    assert "make ui" not in page
    command = "marginbench quality import reports/published/quality/some-run/mlflow --store"
    assert command in page
