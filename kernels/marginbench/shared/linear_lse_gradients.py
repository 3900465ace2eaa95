"""The backward pass of linear + log-sum-exp, as an operator: see `linear_lse`."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from . import linear_lse_backward as kernels
from . import linear_lse_targets as targets
from .launching import blocks, launch, power_of_two, processors, product_precision, row_major
from .linear_lse_tiles import HALF_SCALE, ROWS, Backward, backwards, range_of_classes
from .operators import operator
from .tuning import tuned

# Programs a processor: a second one, where its registers allow it, works while the first waits.
_PROGRAMS = 2


def _shapes(upstream, embeddings, labels, class_weights, bias, scales, rows, inverse, wanted):
    return tuple(
        embeddings.new_empty(like.shape if want else (0,), dtype=like.dtype if want else None)
        for like, want in zip((embeddings, class_weights, bias, scales), wanted, strict=True)
    )


@operator("linear_lse_gradients", fake=_shapes)
def gradients(
    upstream: Tensor, embeddings: Tensor, labels: Tensor, class_weights: Tensor,
    bias: Tensor | None, scales: Tensor | None, rows: Tensor, inverse: Tensor, wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of embeddings, class weights, bias and scales, where ``wanted``; else empty.

    upstream (B, float32): the gradient of the terms. rows (4 x B, 6 x B or more of a steep
    margin) and inverse (C, or empty where weights keep their lengths) come from the forward pass.
    """
    like = embeddings, class_weights, bias, scales
    out = [
        embeddings.new_empty(0) if of is None or not want else of.new_empty(of.shape)
        for of, want in zip(like, wanted, strict=True)
    ]
    x_BD, w_CD = row_major(embeddings), row_major(class_weights)
    upstream_B, inverse_C = upstream.contiguous(), inverse if inverse.numel() else None
    half = x_BD.dtype == torch.float16
    tensors = {
        "x_ptr": x_BD, "w_ptr": w_CD, "y_ptr": labels.contiguous(), "inverse_ptr": inverse_C,
        "bias_ptr": None if bias is None else bias.contiguous(), "rows_ptr": rows,
        "scales_ptr": None if scales is None else scales.contiguous(), "upstream_ptr": upstream_B,
        "steepest_ptr": inverse_C.amax() if inverse_C is not None and half else None,
        "dx_ptr": out[0] if wanted[0] else None, "dw_ptr": out[1] if wanted[1] else None,
        "db_ptr": out[2] if wanted[2] else None, "dscales_ptr": out[3] if wanted[3] else None,
        "x_stride": x_BD.stride(0), "w_stride": w_CD.stride(0),
    }  # fmt: skip
    (B, D), C = x_BD.shape, w_CD.shape[0]
    kind = "heads backward" if inverse_C is None else "heads backward, unit weights"
    tuned(
        kind, x_BD, {"B": B, "C": C, "D": D}, backwards(x_BD.device, x_BD.dtype, B, D),
        lambda tiles: _run(tensors, tiles),
    )  # fmt: skip
    return out[0], out[1], out[2], out[3]


def _run(given: dict[str, Any], tiles: Backward) -> None:
    """One backward pass: its sizes, its scratch, and its launches."""
    x_BD, w_CD = given["x_ptr"], given["w_ptr"]
    (B, D), C = x_BD.shape, w_CD.shape[0]
    logits, by_x, by_w = tiles.coefficients, tiles.embeddings, tiles.weights
    half = x_BD.dtype == torch.float16
    unit = max(logits.columns, by_x.depth, by_w.rows)
    span = range_of_classes(B, C, x_BD.element_size(), unit, kernels.SLOTS.value)
    ranges, row_blocks = blocks(C, span), blocks(B, logits.rows)
    slots = min(kernels.SLOTS.value, ranges)
    wanted_x = given["dx_ptr"] is not None or given["dscales_ptr"] is not None
    wanted_w = given["dw_ptr"] is not None or given["db_ptr"] is not None
    sums = given["db_ptr"] is not None or (
        given["dw_ptr"] is not None and given["inverse_ptr"] is not None
    )
    tiles_BD = blocks(B, by_x.rows) * blocks(D, by_x.columns)
    each, splits = _shares(blocks(span, by_x.depth), tiles_BD, processors(x_BD.device))
    coefficient_items = row_blocks * blocks(span, logits.columns)
    dx_items = tiles_BD * splits if wanted_x else 0
    dw_items = blocks(span, by_w.rows) * blocks(D, by_w.columns) if wanted_w else 0
    items = (ranges + 1) * (coefficient_items + dx_items + dw_items)
    counters = 1 + 2 * ranges

    def fresh(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return x_BD.new_empty(size, dtype=dtype)

    known = given | {
        "B": B, "C": C, "D": D, "span": span, "PRECISION": product_precision(x_BD.dtype),
        "SCALE": HALF_SCALE if half else 1.0, "HALF": half, "BLOCK": 1024,
        "peak_ptr": fresh(1), "tickets_ptr": fresh(counters, dtype=torch.int32),
        "coefficients_ptr": fresh(slots, B, span, dtype=x_BD.dtype),
        "sums_ptr": fresh(slots, row_blocks, span) if sums else None,
        "partial_ptr": fresh(splits, B, D) if wanted_x else None,
        "counters": counters, "ranges": ranges, "items": items, "sum_rows": row_blocks,
        "coefficient_items": coefficient_items, "dx_items": dx_items, "dw_items": dw_items,
        "each": each, "splits": splits,
    }  # fmt: skip

    def start(kernel: Any, programs: int, **more: Any) -> None:
        names = {name: known[name] for name in kernel.arg_names if name in known}
        launch(kernel, programs, **names, **more)

    start(kernels.largest_factor, 1)
    start(
        kernels.gradients, min(items, _PROGRAMS * processors(x_BD.device)),
        num_warps=logits.warps, num_stages=logits.stages,
        LOGITS_B=logits.rows, LOGITS_C=logits.columns, LOGITS_D=logits.depth,
        DX_B=by_x.rows, DX_D=by_x.columns, DX_C=by_x.depth,
        DW_C=by_w.rows, DW_D=by_w.columns, DW_B=by_w.depth,
    )  # fmt: skip
    steep = given["rows_ptr"].shape[0] >= 6
    if wanted_x:
        start(
            targets.embedding_gradient, blocks(B, ROWS),
            STEEP=steep, BLOCK_B=ROWS, BLOCK_D=power_of_two(D, 16, 128),
        )  # fmt: skip
    if steep and given["dw_ptr"] is not None:
        order_B = given["y_ptr"].argsort(stable=True)
        wide = triton.next_power_of_2(D)
        start(
            targets.own_weight_gradient, B,
            # Eight numbers a thread, so that those of 16 bits are loaded 128 bits at a time.
            order_ptr=order_B, BLOCK_D=wide, num_warps=min(max(wide // 256, 1), 8),
        )  # fmt: skip


def _shares(depths: int, tiles: int, share_of: int) -> tuple[int, int]:
    """Blocks of columns that each split of dX's sum over a range owns, and how many splits: as many
    as occupy every processor once."""
    each = blocks(depths, max(1, share_of // tiles))
    return each, blocks(depths, each)
