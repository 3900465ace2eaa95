"""What bounds a kernel stands on a loss's page by itself, and says that nothing was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from benchmarks.snapshots import bounds, pins
from marginbench import catalogue
from reports import document
from reports.document import Block, Details, Figure, Table, Text
from reports.site import losses, static_facts, what_bounds

ARGUMENTS = (
    "x_ptr=bfloat16 w_ptr=bfloat16 bias_ptr={bias} D=16 BLOCK_B=128 BLOCK_C=128 BLOCK_D=64 "
    "num_warps=8 num_stages=3"
)


def row(target: str, bias: str = "bfloat16") -> dict[str, Any]:
    return {"kernel": "shared.linear_lse_forward.stream", "target": target, "warps": 8,
            "arguments": ARGUMENTS.format(bias=bias), "instructions": 100}  # fmt: skip


ROWS = [row(target) for target in ("sm_80", "sm_90", "sm_100", "gfx942")]
BOUNDS = what_bounds.bounds(catalogue.get("softmax"), ROWS)
BY_LOSS = {"softmax": BOUNDS, "twin": BOUNDS}


def tables(blocks: Sequence[Block]) -> Iterator[Table]:
    for block in blocks:
        if isinstance(block, Table):
            yield block
        elif isinstance(block, Details):
            yield from tables(block.blocks)


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return what_bounds.section(catalogue.get("softmax"), ROWS)


def test_one_line_says_what_to_take_from_it(blocks: list[Block]):
    (line,) = (b.text for b in blocks if isinstance(b, Text) and b.kind == "answer")
    # 2 x 1024 x 512 x a million, over 989.4 TFLOP/s, and a little for the last split.
    assert "stream takes at least 1.07 ms, by its products" in line
    assert "C=1,000,000" in line and "its rate is not published" in line


def test_each_bound_is_said_once_for_all_losses_that_share_it(blocks: list[Block]):
    assert not list(tables(blocks))
    found = list(tables(what_bounds.of_all(BY_LOSS)))
    assert len(found) == 2 * 4
    for one in found:
        assert len(one.columns) <= 9 and one.columns[-1] == "largest bound"
        assert [(r[1].text, r[-1].text) for r in one.rows] == [("softmax, twin", "products")]
    h100 = next(one for one in found if one.caption.startswith("H100"))
    cell = h100.rows[0][h100.columns.index(bounds.L2)].text
    assert cell == "not published (1.64 GB)"


def test_a_bound_of_its_own_is_a_row_of_its_own():
    smaller = ARGUMENTS.format(bias="bfloat16").replace("BLOCK_C=128", "BLOCK_C=64")
    rows = [{**one, "arguments": smaller} for one in ROWS]
    other = what_bounds.bounds(catalogue.get("softmax"), rows)
    for one in tables(what_bounds.of_all({**BY_LOSS, "other": other})):
        assert [r[1].text for r in one.rows] == ["softmax, twin", "other"]
        assert len({r[0].text for r in one.rows}) == 1


def test_nothing_of_it_stands_among_measured_figures(blocks: list[Block]):
    (drawn,) = (b for b in blocks if isinstance(b, Figure))
    assert not drawn.cases and not drawn.metrics and "not measured" in drawn.caption
    predicted = what_bounds.section(catalogue.get("contrastive"), [])
    for one in (*tables(what_bounds.of_all(BY_LOSS)), *tables(predicted)):
        assert "not measured" in one.caption
        assert not any(cell.record or cell.mark for r in one.rows for cell in r)
    notes = [b.text for b in (*blocks, *predicted) if isinstance(b, Text) and b.kind == "note"]
    assert len(notes) == 2 and all("not measured" in text for text in notes)


def test_streams_are_predicted_and_products_are_not(blocks: list[Block]):
    assert not re.search("predict", str(blocks), re.IGNORECASE)
    (found,) = tables(what_bounds.section(catalogue.get("contrastive"), []))
    # Two matrices of 2^20 x 128 float32 and a label each, over 88% of 3.35 TB/s, and 4 us.
    assert [cell.text for cell in found.rows[0]][2:] == ["forward", "1.07 GB", "369 µs"]


def test_the_figure_has_a_bar_for_each_bound(blocks: list[Block]):
    (drawn,) = document.figures(blocks)
    assert all(name in drawn.svg for name in bounds.NAMES)
    assert "L2 bytes, not published" in drawn.svg


def test_only_what_the_loss_launches_itself_is_bounded(monkeypatch: pytest.MonkeyPatch):
    mine, others = (
        pins.pin_of({**row("sm_90"), "folder": folder}, "triton 9.9")
        for folder in ("softmax", "a_softmax")
    )
    monkeypatch.setattr(static_facts, "_newest", lambda kind: (others,))
    assert not static_facts.bounds(catalogue.get("softmax"))
    monkeypatch.setattr(static_facts, "_newest", lambda kind: (others, mine))
    assert static_facts.bounds(catalogue.get("softmax"))


def test_a_loss_without_such_kernels_has_no_section(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(static_facts, "_newest", lambda kind: ())
    (made,) = losses.documents("softmax", []).values()
    assert "bounds" not in [section.name for section in made.sections]
    (made,) = losses.documents("contrastive", []).values()
    assert "bounds" in [section.name for section in made.sections]
