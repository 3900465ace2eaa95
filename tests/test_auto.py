"""What implementation="auto" takes, and how the suite measures it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch

import marginbench
from benchmarks import record_files
from marginbench import catalogue
from marginbench.implementations import automatic
from reports import auto, reading
from reports.statistics import Interval
from suites import presets, selection
from suites.cases import compared


def test_the_table_is_what_the_published_records_say():
    path = record_files.find(auto.DEFAULT)
    assert path is not None
    carried = {
        loss.name: files.tiled_from
        for loss in catalogue.losses()
        if (files := loss.resolve("functional:FILES")).tiled is not None
    }
    assert auto.tiled_from(reading.load(path).cases) == carried


@pytest.mark.parametrize(
    ("points", "wanted"),
    [
        ([(10, 1.0), (1000, -1.0)], 100),  # between the two
        ([(10, -1.0), (1000, -1.0)], 5),  # always
        ([(10, 1.0), (1000, 1.0)], 2000),  # never
        ([(10, 1.0), (1000, -0.1), (4000, 0.5)], 8000),  # what it gains there costs more beyond
    ],
)
def test_the_place_that_costs_least_is_taken(points, wanted: int):
    assert auto._cheapest(points) == wanted


def test_auto_is_eager_for_few_logits_tiled_for_many():
    assert marginbench.which("softmax", batch=512, classes=1_000) == "eager"
    assert marginbench.which("softmax", batch=512, classes=100_000) == "tiled"
    half = {"classes": 10, "dtype": torch.float16}
    assert marginbench.which("softmax", batch=8, **half) == "tiled"
    assert marginbench.which("softmax", batch=8, **{**half, "dtype": torch.bfloat16}) == "eager"
    assert marginbench.which("triplet", batch=4096) == "eager"
    assert marginbench.which("softmax", batch=1, classes=9, device="cuda") == "triton"
    for_cuda = {"classes": 9, "device": "cuda", "dtype": torch.float64}
    assert marginbench.which("softmax", batch=1, **for_cuda) == "eager"
    with pytest.raises(catalogue.UnknownName, match="did you mean 'triplet'"):
        marginbench.which("triplets", batch=4)


def test_auto_gives_the_bits_of_what_it_takes(monkeypatch, seed: int):
    generator = torch.Generator().manual_seed(seed)
    x_BD, w_CD = torch.randn(8, 4, generator=generator), torch.randn(50, 4, generator=generator)
    y_B = torch.arange(8)
    for limit, name in ((401, "eager"), (400, "tiled")):
        functional = sys.modules["marginbench.softmax.functional"]
        files = dataclasses.replace(functional.FILES, tiled_from=limit)
        monkeypatch.setattr(functional, "FILES", files)
        got = marginbench.functional.softmax(x_BD, y_B, w_CD)
        softmax = marginbench.functional.softmax
        assert torch.equal(got, softmax(x_BD, y_B, w_CD, implementation=name))
        assert marginbench.which("softmax", batch=8, classes=50) == name


def test_the_suite_auto_compares_what_auto_chooses_from():
    cases = selection.select(presets.DEFAULT, "cpu", 0, ["auto"], [])
    assert {case.suite for case in cases} == {"auto"}
    for case in cases:
        loss = catalogue.get(case.loss)
        names = [one.name for one in compared("auto", loss.variant(case.variant)).contenders]
        assert names[-1] == "auto" and set(names) <= {"reference", "eager", "tiled", "triton",
                                                      "auto"}  # fmt: skip
    plain = selection.select(presets.DEFAULT, "cpu", 0, [], [])
    assert "auto" not in {case.suite for case in plain}
    assert selection.parse(cases[0].id).suite == "auto"


def test_every_loss_has_its_auto():
    for loss in catalogue.losses():
        for variant in loss.variants:
            function = variant.contender("eager").entry.partition(":")[2]
            assert callable(loss.resolve(f"auto:{function}"))
            assert callable(automatic(loss.resolve("functional:FILES"), function))


def test_a_small_run_of_it_is_measured_and_read(tmp_path: Path):
    from click.testing import CliRunner

    from commands.root import cli

    case = "auto/softmax/no-bias/B16-D8-C11/float32/cpu/drawn/s0"
    done = CliRunner().invoke(cli, ["run", "--case", case, "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    path = record_files.find(tmp_path / "run")
    assert path is not None
    (held,) = auto.held(reading.load(path).cases)
    assert held.case == case and held.ratio.estimate > 0


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [
        (0.9, 1.05, "within"),
        (1.051, 1.2, "beyond"),
        (1.0, 1.051, "inconclusive"),  # the interval holds both
        (None, None, "inconclusive"),  # too few rounds for one
    ],
)
def test_a_case_is_within_or_beyond_by_its_whole_interval(low, high, state: str):
    assert auto.Held("a case", "eager", Interval(1.0, low, high, 5)).state == state
