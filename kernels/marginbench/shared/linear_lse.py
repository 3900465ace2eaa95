"""Linear layer + log-sum-exp with a margin on the target's logit, fused: no B x C matrix is made.

For embeddings x_i, labels y_i, class weights w_j (or their directions) and a bias b_j,

    term_i = log(exp f_i + sum_{j != y_i} exp(s_i x_i . w_j + b_j)) - f_i,
    f_i = margin_function(s_i x_i . w_{y_i}, s_i ||x_i||) + b_{y_i},

where s_i, if there is one, is the row's own scale, which has a gradient too, and so has a margin of
its own. A loss supplies the margin function, one device function; everything else is shared.

**Forward.** Class tiles stream through tensor-core products; a row keeps the largest logit and the
sum of exponentials beside the target's. Ranges of classes go to different programs, so that a small
batch fills a GPU too. A kernel over rows then puts the target's logit in (one with a margin is
recomputed, in float64) and keeps four numbers a row for backward.

**Backward.** For a range of classes at a time, a tile's logits are recomputed and turned into the
derivatives by x_i . w_j, kept in a scratch of B x span (`linear_lse_tiles`), which both
products then read: dX adds up over the ranges, dW is complete for each. So the logits are
recomputed once, whatever D is: three products backward, the least there can be. All ranges are one
launch (`linear_lse_backward`): a range is too little work to pay for a launch of its own. Sums are
made in a fixed order, without atomics: the same input gives the same bits on the same machine.

Memory beyond the gradients: O(B + C) numbers, the scratch, and splits x B x D sums of float32, at
most one tile a processor (or B x D).

Products accumulate in float32; bfloat16 and float16 operands go to the tensor cores as they are,
float32 is multiplied in float32 (tf32 where torch.backends.cuda.matmul.fp32_precision says so).
Under autocast inputs of one dtype are taken as they come (`mixed` casts others). A label out of
range reads nothing, and makes its row's loss and the gradients NaN; NaN inputs come out as NaN.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import linear_lse_forward as kernels
from .launching import blocks, launch, power_of_two, processors, product_precision, row_major
from .linear_lse_gradients import gradients
from .linear_lse_tiles import ROWS, StreamTile, described, streams
from .operators import differentiable, operator
from .tuning import tuned


class Head:
    """The terms of a loss over class weights, as the operator ``{name}_terms``.

    ``margin_function`` is a @triton.jit function ``(plain, length, first, second, third, MARGIN) ->
    (target, slope, radial)`` on float64 blocks of rows: from the target's plain logit s x . w (s x
    . w / ||w|| for ``unit_weights``) and the length s ||x|| the logit with the margin, its
    derivative by the plain one, and its derivative by the length over the length. The three
    ``parameters`` are numbers at run time, ``MARGIN`` an int that the kernel is compiled for. With
    a margin a row, ``first`` is that, and the function also returns the derivative by it.
    ``steep``: the slope has no bound, as ArcFace's at theta = 0; else 16 bits must hold it. None
    leaves the plain logit as it is.
    """

    def __init__(
        self, name: str, margin_function: Any | None, *, unit_weights: bool, steep: bool = False
    ) -> None:
        def terms(
            embeddings: Tensor,
            labels: Tensor,
            class_weights: Tensor,
            bias: Tensor | None,
            scales: Tensor | None,
            margins: Tensor | None,
            margin: int,
            parameters: list[float],
        ) -> tuple[Tensor, Tensor, Tensor]:
            (B, D), C = embeddings.shape, class_weights.shape[0]

            @functools.cache  # launched by the first tile that runs, not before one is chosen
            def inverse_lengths() -> Tensor | None:
                return _inverse_lengths(class_weights) if unit_weights else None

            terms_B, rows_RB = tuned(
                f"heads {name} forward", embeddings, {"B": B, "C": C, "D": D},
                streams(embeddings.device, embeddings.dtype, B, D),
                lambda tile: _terms(
                    embeddings, labels, class_weights, bias, inverse_lengths(), scales,
                    margins, margin_function, margin, parameters, steep, tile,
                ),
            )  # fmt: skip
            inverse_C = inverse_lengths()
            if inverse_C is None:
                inverse_C = terms_B.new_empty(0)
            return terms_B, rows_RB, inverse_C

        def shapes(embeddings, labels, class_weights, bias, scales, margins, margin, parameters):
            batch = embeddings.shape[0]
            norms = class_weights.shape[0] if unit_weights else 0
            return tuple(
                embeddings.new_empty(size, dtype=torch.float32)
                for size in ((batch,), (_kept(steep, margins), batch), (norms,))
            )

        self.operator = operator(f"{name}_terms", fake=shapes)(terms)
        differentiable(self.operator, backward=_backward, save=_save)

    def __call__(
        self,
        embeddings: Tensor,
        labels: Tensor,
        class_weights: Tensor,
        bias: Tensor | None = None,
        *,
        scales: Tensor | None = None,
        margins: Tensor | None = None,
        margin: int = 1,
        parameters: Sequence[float] = (),
    ) -> Tensor:
        """The terms (B, float32); embeddings (B x D), labels (B, int64), class_weights (C x D)
        and bias (C) share one of float32, bfloat16 and float16. A bias of unit weights is not
        provided for. scales (B) are float32, margins (B, of a steep head) float64."""
        return self.operator(
            embeddings, labels, class_weights, bias, scales, margins, margin,
            [*map(float, parameters)],
        )[0]  # fmt: skip


def _kept(steep: bool, margins: Tensor | None) -> int:
    """How many numbers a row keeps for backward."""
    return 4 if not steep else 6 if margins is None else 7


def _save(ctx, inputs, output) -> None:
    embeddings, labels, class_weights, bias, scales, margins = inputs[:6]
    _, rows_RB, inverse_C = output
    ctx.own_margins = margins is not None
    ctx.save_for_backward(embeddings, labels, class_weights, bias, scales, rows_RB, inverse_C)
    # Only the terms have a gradient: zeros for the other outputs would take 4 bytes a class.
    ctx.set_materialize_grads(False)


def _backward(ctx, upstream_B, *_):
    wanted = [ctx.needs_input_grad[i] for i in (0, 2, 3, 4)]
    found = gradients(upstream_B, *ctx.saved_tensors, wanted)
    dx_BD, dw_CD, db_C, ds_B = (g if want else None for g, want in zip(found, wanted, strict=True))
    dm_B = None
    if ctx.own_margins and ctx.needs_input_grad[5]:
        dm_B = (upstream_B * ctx.saved_tensors[5][-1]).double()
    return dx_BD, None, dw_CD, db_C, ds_B, dm_B, None, None


def _inverse_lengths(w_CD: Tensor) -> Tensor:
    w_CD = row_major(w_CD)
    C, D = w_CD.shape
    inverse_C = w_CD.new_empty(C, dtype=torch.float32)
    launch(
        kernels.inverse_lengths, blocks(C, ROWS),
        w_ptr=w_CD, inverse_ptr=inverse_C, C=C, D=D, w_stride=w_CD.stride(0),
        BLOCK_C=ROWS, BLOCK_D=power_of_two(D, 16, 128),
    )  # fmt: skip
    return inverse_C


def _terms(
    x_BD: Tensor, y_B: Tensor, w_CD: Tensor, bias_C: Tensor | None, inverse_C: Tensor | None,
    scales_B: Tensor | None, margins_B: Tensor | None, margin_function: Any | None, margin: int,
    parameters: list[float], steep: bool, tile: StreamTile,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Terms (B) and, for backward, rows (4 x B, 6 x B if steep, and one more with margins a row:
    `linear_lse_forward`)."""
    x_BD, w_CD = row_major(x_BD), row_major(w_CD)
    (B, D), C = x_BD.shape, w_CD.shape[0]
    precision = product_precision(x_BD.dtype)
    row_blocks, class_blocks = blocks(B, tile.rows), blocks(C, tile.columns)
    # Four programs a processor, so that the last ones to finish don't leave many idle.
    each = blocks(class_blocks, blocks(4 * processors(x_BD.device), row_blocks))
    splits = blocks(class_blocks, each)
    terms_B, rows_RB, top_SB, total_SB = (
        x_BD.new_empty(size, dtype=torch.float32)
        for size in ((B,), (_kept(steep, margins_B), B), (splits, B), (splits, B))
    )
    inputs = {
        "x_ptr": x_BD, "w_ptr": w_CD, "y_ptr": y_B.contiguous(),
        "bias_ptr": None if bias_C is None else bias_C.contiguous(), "inverse_ptr": inverse_C,
        "scales_ptr": None if scales_B is None else scales_B.contiguous(),
        "top_ptr": top_SB, "total_ptr": total_SB, "B": B, "C": C, "D": D,
        "x_stride": x_BD.stride(0), "w_stride": w_CD.stride(0),
    }  # fmt: skip
    limit = {} if tile.registers is None else {"maxnreg": tile.registers}
    launch(
        kernels.stream, row_blocks * splits,
        **inputs, blocks_each=each, PRECISION=precision, DESCRIPTORS=described(tile, x_BD, w_CD),
        **tile.named("B", "C", "D"), **limit,
    )  # fmt: skip
    # A plain target is made in the tiles that the other logits are made in.
    sizes = {"BLOCK_B": ROWS, "BLOCK_D": power_of_two(D, 16, 128)}
    if margin_function is None:
        sizes = {k: v for k, v in tile.named("B", "C", "D").items() if k != "BLOCK_C"}
    numbers = dict(zip(("first", "second", "third"), [*parameters, 0.0, 0.0, 0.0], strict=False))
    high = {name: struct.unpack("f", struct.pack("f", n))[0] for name, n in numbers.items()}
    low = {f"{name}_rest": n - high[name] for name, n in numbers.items()}
    launch(
        kernels.rows_of_terms, blocks(B, sizes["BLOCK_B"]),
        **inputs, margins_ptr=None if margins_B is None else margins_B.contiguous(),
        terms_ptr=terms_B, rows_ptr=rows_RB, splits=splits, **high, **low,
        MARGIN_FUNCTION=margin_function, MARGIN=margin, STEEP=steep, PRECISION=precision, **sizes,
    )  # fmt: skip
    return terms_B, rows_RB
