"""What the report makes of the targets, from records that were never measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from page_reader import Page
from synthetic_run import RUN, Maker, write

from benchmarks.instruments import gpus
from benchmarks.records.loading import CaseEnd, Line, RunEnd
from marginbench.loss import Cost, Shape
from reports import reading
from reports.build import build
from reports.document import Details, Table, Text
from reports.predicted import bound
from reports.sections import targets
from reports.sections.context import Context
from reports.style import Styles
from reports.targets import matrix_bytes, outcome
from suites.schema import CaseKey
from suites.targets import TARGETS, Target

HEAD = Shape(1024, 512, 100_000)
NOISE = (0.99, 1.0, 1.0, 1.01, 1.0, 0.99, 1.01, 1.0)


def target_of(kind: str, loss: str = "softmax", against: str = "", shape: Shape = HEAD) -> Target:
    (found,) = (
        t for t in TARGETS
        if (t.kind, t.loss, t.against, t.shape) == (kind, loss, against, shape)
    )  # fmt: skip
    return found


def case_of(target: Target) -> CaseKey:
    b, d, c = target.shape.batch, target.shape.dim, target.shape.classes
    return CaseKey(
        suite="speed", loss=target.loss, variant=target.variant, variant_version=1, family="head",
        batch=b, dim=d, classes=c, dtype=target.dtype, device=target.device, data="drawn", seed=0,
    )  # fmt: skip


def lines(
    target: Target,
    times: dict[str, Sequence[float] | str],
    *,
    peak: float | None = None,
    rates: dict[str, float] | None = None,
) -> Iterator[Line]:
    """One case: rounds by contender, or the reason why it has none."""
    maker, case = Maker(), case_of(target)
    start = maker.start([case.id])
    yield replace(start, information={"rates": rates} if rates else {})
    for contender, rounds in times.items():
        if isinstance(rounds, str):
            yield maker.result(case, contender, "both_time_s", status="not_run", reason=rounds)
        else:
            yield maker.result(case, contender, "both_time_s", value=median(rounds),
                               rounds=rounds)  # fmt: skip
    if peak is not None:
        yield maker.result(case, target.contender, "peak_bytes", value=peak)
    yield CaseEnd(run=RUN, session="s1", case=case.id, seconds=1.0)
    yield RunEnd(run=RUN, session="s1", seconds=1.0)


def judged(folder: Path, target: Target, *arguments, **more):
    path = write(folder, lines(target, *arguments, **more)) / "records.jsonl"
    return outcome(target, reading.load(path))


def rounds(seconds: float) -> list[float]:
    return [seconds * factor for factor in NOISE]


@pytest.mark.parametrize(
    ("ratio", "state"), ((1.5, "met"), (1.25, "missed"), (1.3, "unclear")), ids=str
)
def test_a_ratio_of_times_is_judged_by_its_interval(tmp_path: Path, ratio: float, state: str):
    target = target_of("speed", against="compiled")
    noisy = [ratio * factor for factor in reversed(NOISE)]
    found = judged(tmp_path, target, {"triton": rounds(1.0), "compiled": noisy})
    assert found.state == state and found.figure is not None
    assert found.figure.low <= ratio * 1.001 and found.figure.high >= ratio * 0.999


@pytest.mark.parametrize("ratio", [9.0, 0.1])
def test_too_few_rounds_for_an_interval_meet_and_miss_nothing(tmp_path: Path, ratio: float):
    target = target_of("speed", against="compiled")
    found = judged(tmp_path, target, {"triton": [1.0, 1.0], "compiled": [ratio, ratio]})
    assert found.state == "unclear" and found.figure is not None
    assert found.figure.low is None and found.figure.estimate == pytest.approx(ratio)


def test_who_did_not_run_is_named_with_its_reason(tmp_path: Path):
    target = target_of("speed", against="liger-kernel")
    times = {"triton": rounds(1.0), "liger-kernel": "needs the package liger_kernel"}
    found = judged(tmp_path, target, times)
    assert (found.state, found.reason) == (
        "not measured", "liger-kernel: needs the package liger_kernel",
    )  # fmt: skip


def test_memory_counts_beside_the_gradients(tmp_path: Path):
    target = target_of("memory")
    gradients = 2 * (1024 * 512 + 100_000 * 512 + 100_000)
    logits = 2 * 1024 * 100_000
    assert matrix_bytes(target) == logits
    found = judged(tmp_path, target, {}, peak=gradients + 0.15 * logits)
    assert found.state == "met" and found.figure.estimate == pytest.approx(0.15)
    found = judged(tmp_path, target, {}, peak=gradients + 0.25 * logits)
    assert found.state == "missed"


def test_shares_of_the_machines_limits_take_rates_that_were_measured(tmp_path: Path):
    target = target_of("products")
    found = judged(tmp_path, target, {"triton": rounds(1.0)})
    assert (found.state, found.reason) == (
        "not measured", "the run holds no measured matrix rate of its machine",
    )  # fmt: skip
    # Four products of 2 B D C operations, and a second for them.
    rate = 4 * 2 * 1024 * 512 * 100_000 * 0.7
    rates = {"flops_per_s_bfloat16": rate}
    found = judged(tmp_path, target, {"triton": rounds(2.0)}, rates=rates)
    assert found.state == "met" and found.figure.estimate == pytest.approx(1 / 0.7 / 2, rel=0.01)
    rows = Shape(1_048_576, 128, 1024)
    target = target_of("bandwidth", loss="triplet", shape=rows)
    operands = 3 * 1_048_576 * 128 * 2
    rates = {"bytes_per_s": 3.0 * operands}
    found = judged(tmp_path, target, {"triton": rounds(2.0)}, rates=rates)
    assert found.state == "missed" and found.figure.estimate == pytest.approx(0.5, rel=0.01)


def test_fast_and_wrong_meets_nothing(tmp_path: Path):
    target = target_of("speed", against="eager")
    maker, case = Maker(), case_of(target)
    made = list(lines(target, {"eager": rounds(9.0), "triton": rounds(1.0)}))
    wrong = maker.result(case, "triton", "relative_error", status="worse", reason="x", value=1.0)
    write(tmp_path, [*made[:-2], wrong, *made[-2:]])
    found = outcome(target, reading.load(tmp_path / "records.jsonl"))
    assert found.state == "not measured" and "triton disagreed" in found.reason


def test_a_run_without_a_gpu_says_so_at_each_target(tmp_path: Path):
    build(write(tmp_path, Maker().lines()))
    records = reading.load(tmp_path / "records.jsonl")
    outcomes = {target: outcome(target, records) for target in TARGETS}
    for target, found in outcomes.items():
        assert found.state == "not measured", target
        if target.contender == "tiled":
            assert "tiled" in found.reason
        elif target.against == "pytorch-metric-learning" and target.shape.batch == 4096:
            assert "B^3 = 68,719,476,736 passes 2^31" in found.reason
        else:
            assert found.reason.startswith("needs CUDA")
    page = Page((tmp_path / "index.html").read_text())
    assert "Predicted from data-sheet rates, not measured" in page.seen
    assert f"{len(TARGETS)} not measured" in page.seen
    for target in TARGETS:
        assert target.text.split(": ", 1)[1] in page.seen


def test_targets_that_were_not_measured_are_folded_by_reason(tmp_path: Path):
    target = target_of("speed", against="eager")
    made = lines(target, {"eager": rounds(2.0), "triton": rounds(1.0)})
    records = reading.load(write(tmp_path, made) / "records.jsonl")
    context = Context(records, Styles(records.contenders()), "")
    blocks = targets.section(context).blocks
    shown = [row for block in blocks if isinstance(block, Table) for row in block.rows]
    assert [row[4].text for row in shown] == ["✓ met"]
    (folded,) = (block for block in blocks if isinstance(block, Details))
    assert blocks[-1] == folded and not folded.open
    tables = [block for block in folded.blocks if isinstance(block, Table)]
    reasons = [block.text for block in folded.blocks if isinstance(block, Text)]
    assert sum(len(one.rows) for one in tables) == len(TARGETS) - 1
    assert len(set(reasons)) == len(reasons) == len(tables)
    assert folded.summary.startswith(f"{len(TARGETS) - 1} targets not measured: ")
    assert "this run has no such case (" in reasons[0] and tables[0].columns[4] == "why"
    assert tables[0].rows[0][4].text.startswith("marginbench run --case speed/")
    assert "at least" in tables[0].rows[0][-1].text


def test_a_met_target_stands_on_the_page_with_its_figure(tmp_path: Path):
    target = target_of("speed", against="eager")
    build(write(tmp_path, lines(target, {"eager": rounds(2.0), "triton": rounds(1.0)})))
    page = Page((tmp_path / "index.html").read_text())
    assert "1 met, 0 missed, 0 unclear" in page.seen and "✓ met" in page.seen
    assert "2.00× as fast [" in page.seen
    assert "this run has no such case" in page.seen
    assert "marginbench run --case speed/softmax/no-bias" in page.seen


def test_a_target_on_the_time_shows_the_time_and_not_the_speed(tmp_path: Path):
    target = next(one for one in TARGETS if one.kind == "speed" and one.bound < 1)
    build(write(tmp_path, lines(target, {"eager": rounds(2.0), "tiled": rounds(1.0)})))
    seen = Page((tmp_path / "index.html").read_text()).seen
    assert "at most 1.1× the time of eager" in seen and "0.500× the time [" in seen


def test_the_bound_is_the_longer_of_memory_and_products():
    h100, h200 = gpus.cards()
    cost = Cost(forward_bytes=3_350, backward_bytes=33_500, forward_flops=1, backward_flops=0)
    assert bound(cost, "bfloat16", h100).both_s == pytest.approx(11e-9)
    assert bound(cost, "bfloat16", h200).both_s == pytest.approx(11e-9 * 3.35 / 4.8)
    heavy = Cost(1, 1, forward_flops=989_400, backward_flops=2 * 989_400)
    assert bound(heavy, "bfloat16", h100).both_s == pytest.approx(3e-9)
    assert bound(heavy, "bfloat16", h100, recomputing=True).both_s == pytest.approx(4e-9)
