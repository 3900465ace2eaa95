"""What bounds the head kernels: counts that a reader can make by hand, and what is launched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.instruments import gpus
from benchmarks.snapshots import bounds, launches, stream_times
from benchmarks.snapshots.bounds import DRAM, EXPONENTIALS, ISSUE, L2, PRODUCTS, Case
from marginbench import catalogue
from marginbench.loss import Cost, Shape

COST = Cost(forward_bytes=2_039_000, backward_bytes=0, forward_flops=312_000_000, backward_flops=0)
CASE = Case(Shape(256, 64, 1000), "bfloat16", COST, bias=True)
SOFTMAX = catalogue.get("softmax").variants[0]


def row(target: str = "sm_80", **changes: Any) -> dict[str, Any]:
    arguments = (
        "x_ptr=bfloat16 w_ptr=bfloat16 bias_ptr=bfloat16 D=16 BLOCK_B=128 BLOCK_C=128 BLOCK_D=64 "
        "num_warps=8 num_stages=3"
    )
    return {"kernel": "shared.linear_lse_forward.stream", "target": target,
            "arguments": arguments, "instructions": 1000, "warps": 16, **changes}  # fmt: skip


def test_the_bounds_of_stream_by_hand():
    """On an A100: 108 processors, 2 blocks of rows by 8 of classes, a tile a program."""
    (one,) = bounds.bounds([row()], "sm_80", CASE)
    clock = 19.5e12 / (2 * 64 * 108)
    # Each of 8 blocks of classes reads all of x, each of 2 blocks of rows all of w.
    assert one.work.l2_bytes == (8 * 256 * 64 + 2 * 1000 * 64) * 2 == 518_144
    assert one.processors == one.work.programs == 16 and one.warps == 16
    # 16 of 108 processors have a tile: all others wait for them.
    assert one.work.uneven == 108 / 16
    assert one.seconds == pytest.approx({
        PRODUCTS: 1e-6 * 108 / 16,
        L2: 518_144 / (5120 * clock),
        DRAM: 1e-6,
        EXPONENTIALS: 256 * 1000 / 16 / (16 * clock),
        ISSUE: 1000 * 8 / (4 * clock),
    })  # fmt: skip
    assert one.largest == PRODUCTS and one.least_s == one.seconds[PRODUCTS]


@pytest.mark.parametrize(
    ("cost", "instructions", "largest"),
    [(replace(COST, forward_bytes=10**9), 1, DRAM), (COST, 100_000, ISSUE), (COST, 1, PRODUCTS),
     (replace(COST, forward_bytes=1, forward_flops=1), 1, EXPONENTIALS)],
)  # fmt: skip
def test_the_largest_is_named(cost: Cost, instructions: int, largest: str):
    (one,) = bounds.bounds([row(instructions=instructions)], "sm_80", replace(CASE, cost=cost))
    assert one.largest == largest
    assert one.least_s == max(time for time in one.seconds.values() if time is not None)


def test_what_nobody_publishes_bounds_nothing():
    (h100,) = bounds.bounds([row("sm_90")], "sm_90", CASE)
    assert h100.seconds[L2] is None and h100.work.l2_bytes
    assert h100.l2_bytes_per_s == h100.work.l2_bytes / h100.least_s
    (amd,) = bounds.bounds([row("gfx942")], "gfx942", CASE)
    assert amd.seconds[ISSUE] is None and amd.seconds[EXPONENTIALS] is None


def test_of_several_tiles_the_one_that_reads_least_from_l2_is_taken():
    wide = row(
        arguments=row()["arguments"].replace("BLOCK_C=128", "BLOCK_C=256"), instructions=9999
    )
    (one,) = bounds.bounds([row(), wide], "sm_80", CASE)
    assert one.work.l2_bytes == (4 * 256 * 64 + 2 * 1000 * 64) * 2


@pytest.mark.parametrize(
    "changed", ["x_ptr=float32", "bias_ptr=None", "D=17"], ids=["dtype", "no bias", "unaligned"]
)
def test_kernels_for_other_calls_are_left_out(changed: str):
    name = changed.partition("=")[0]
    words = [changed if w.startswith(f"{name}=") else w for w in row()["arguments"].split()]
    assert not bounds.bounds([row(arguments=" ".join(words))], "sm_80", CASE)


@pytest.mark.parametrize("target", gpus.TARGETS)
@pytest.mark.parametrize(
    "shape", [Shape(1024, 512, 100_000), Shape(64, 512, 100_000), Shape(200, 128, 5_000)], ids=str
)
def test_the_counts_are_those_of_the_launches(target: str, shape: Shape):
    """The launcher's own arithmetic, which needs torch, against the one here."""
    origin = launches.Origin("softmax", SOFTMAX.name, shape, "bfloat16")
    ((_, made),) = launches.recordings(target, [origin])
    found = {one.kernel.__name__: one for one in made}
    cost, processors = SOFTMAX.cost(shape, 2), gpus.TARGETS[target].processors
    case = Case(shape, "bfloat16", cost, bias=True)

    def words(kernel: str) -> dict[str, str]:
        return {name: str(value) for name, value in found[kernel].arguments.items()}

    row_blocks, each, splits = bounds.splits_of_stream(words("stream"), shape, processors)
    assert row_blocks * splits == found["stream"].programs
    assert each == found["stream"].arguments["blocks_each"]
    assert splits == found["rows_of_terms"].arguments["splits"]
    share, given = bounds.sharing(words("gradients"), case, processors), found["gradients"]
    for name in ("span", "ranges", "coefficient_items", "dx_items", "dw_items"):
        assert getattr(share, name) == given.arguments[name], name
    assert share.splits == found["embedding_gradient"].arguments["splits"]
    counted = {name.rpartition(".")[2]: count for name, count in bounds._COUNTS.items()}
    for kernel, launch in found.items():
        work = counted[kernel](words(kernel), case, processors)
        assert work.programs == launch.programs, kernel


def test_a_stream_s_time_is_predicted_on_an_h100_where_the_rule_was_validated():
    """335 MB over 88% of 3.35 TB/s, and 4 us."""
    assert stream_times.predicted_s(335_000_000) == pytest.approx(1e-4 / 0.88 + 4e-6)
    assert stream_times.predicted_s(63_999_999) is None


def test_every_target_has_a_sheet_whose_clock_a_gpu_can_have():
    for target in gpus.TARGETS.values():
        sheet = target.sheet
        assert 1e9 < sheet.clock_hz(target.processors) < 2.5e9
        assert bool(sheet.l2_bytes) == bool(sheet.l2_source)
