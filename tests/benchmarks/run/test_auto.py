"""What implementation="auto" takes, and how the suite measures it."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import pytest
import torch

import marginbench
from benchmarks.records import record_files
from benchmarks.records.loading import RecordError
from marginbench import catalogue
from marginbench.implementations import automatic
from reports import auto, reading
from suites import presets, selection
from suites.cases import compared
from suites.interval import Interval

CASE = "auto/softmax/no-bias/B16-D8-C11/float32/cpu/drawn/s0"


def test_the_table_is_what_the_published_records_say():
    """In a dtype of which nothing is published it stays as it was measured by hand."""
    cases = []
    for folder in (auto.DEFAULT, *auto.published()):
        path = record_files.find(folder)
        assert path is not None
        cases += reading.load(path).cases
    found = auto.tiled_from(cases)
    assert {dtype for _, dtype in found} >= {"float32"}
    for (loss, dtype), size in found.items():
        carried = catalogue.get(loss).resolve("functional:FILES").tiled_from
        assert size == carried[getattr(torch, dtype)], (loss, dtype)


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
    at = {"batch": 1000, "classes": 15_000}
    assert marginbench.which("softmax", **at) == "tiled"
    assert marginbench.which("softmax", **at, dtype=torch.bfloat16) == "eager"
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
        files = dataclasses.replace(functional.FILES, tiled_from={torch.float32: limit})
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
    assert len({case.id for case in cases}) == len(cases)
    assert "auto" not in {case.suite for case in plain}
    assert selection.parse(cases[0].id).suite == "auto"


def test_auto_is_judged_at_sizes_that_its_table_was_not_read_from():
    """On a CPU, where there is a table; in every dtype where there is a choice."""
    for preset in presets.PRESETS.values():
        every = selection.select(preset, "cpu", 0, ["auto", "speed"], [])
        read_from = {(case.loss, case.shape) for case in every if case.suite == "speed"}
        judged = [case for case in every if case.suite == "auto"]
        assert not read_from & {(case.loss, case.shape) for case in judged}
        dtypes: dict[tuple[str, str], set[str]] = {}
        for case in judged:
            dtypes.setdefault((case.loss, case.variant), set()).add(case.dtype)
        for (loss, variant), found in dtypes.items():
            names = [one.name for one in catalogue.get(loss).variant(variant).contenders]
            wanted = {"float32", "bfloat16", "float64"} if "tiled" in names else {"float32"}
            assert found == wanted, (loss, variant)


def test_both_sides_of_every_place_in_the_table_are_judged():
    cases = selection.select(presets.RIGOROUS, "cpu", 0, ["auto"], [])
    for case in cases:
        files = catalogue.get(case.loss).resolve("functional:FILES")
        if files.tiled is not None and case.variant != "term":
            taken = {
                marginbench.which(case.loss, batch=one.shape.batch, classes=one.shape.classes)
                for one in cases
                if (one.loss, one.variant) == (case.loss, case.variant)
            }
            assert taken == {"eager", "tiled"}, case.id


def test_every_loss_has_its_auto():
    for loss in catalogue.losses():
        for variant in loss.variants:
            function = variant.contender("eager").entry.partition(":")[2]
            assert callable(loss.resolve(f"auto:{function}"))
            assert callable(automatic(loss.resolve("functional:FILES"), function))


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from click.testing import CliRunner

    from commands.root import cli

    folder = tmp_path_factory.mktemp("published") / "auto" / "a-machine"
    done = CliRunner().invoke(cli, ["run", "--case", CASE, "--out", str(folder)])
    assert done.exit_code == 0, done.output
    for made in folder.iterdir():
        if made.name not in record_files.FILES:
            shutil.rmtree(made) if made.is_dir() else made.unlink()
    return folder


def test_a_small_run_of_it_is_measured_and_read(small_run: Path):
    judged = auto.read(small_run)
    (held,) = judged.cases
    assert held.case == CASE and held.ratio.estimate > 0 and judged.untimed == 0
    assert CASE in judged.text and "1 timed cases" in judged.text


def test_a_published_run_of_it_is_verified_by_its_verdict(small_run: Path):
    from reports.site.sources import NothingPublished, find
    from reports.site.verifying import verify

    verdict = small_run / auto.VERDICT
    for text, state in ((None, "differs"), (auto.read(small_run).text, "same"), ("no", "differs")):
        if text is not None:
            verdict.write_text(text, encoding="utf-8")
        (found,) = verify([small_run.parents[1]])
        assert (found.kind, found.state) == ("run of the suite auto", state)
    # It is no machine of the site.
    with pytest.raises(NothingPublished):
        find(small_run.parents[1])


@pytest.mark.parametrize(("near", "beyond", "holds"), [(19, 1, True), (18, 1, False), (0, 0, True)])
def test_auto_has_to_be_near_the_best_in_95_of_100_cases(near: int, beyond: int, holds: bool):
    cases = [auto.Held(f"near {n}", "eager", Interval(1.05, 1.0, 1.1, 9)) for n in range(near)]
    cases += [auto.Held(f"not {n}", "tiled", Interval(1.06, 1.0, 1.1, 9)) for n in range(beyond)]
    judged = auto.Judged({}, tuple(cases), 0)
    assert judged.holds is holds
    assert ("NOT the 95%" in judged.text) is not holds


def test_what_is_published_of_it_holds():
    folders = auto.published()
    assert folders
    for folder in folders:
        judged = auto.read(folder)
        assert judged.cases and judged.holds, judged.text


def test_a_folder_without_records_is_refused(tmp_path: Path):
    with pytest.raises(RecordError, match="expected a run's folder or its records; got"):
        auto.read(tmp_path)


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
