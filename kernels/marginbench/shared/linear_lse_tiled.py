"""Linear layer + log-sum-exp with a margin on the target's logit in plain PyTorch on a CPU: classes
go by in chunks, no B x C matrix is made.

The same function as the fused `linear_lse`; `target_margins` says what a margin function is.

**Forward.** Beside the target's logit f, a row keeps the largest of the others' logits l_j and
the sum of exp(l_j - largest), apart: as one log-sum-exp they would be rounded like a logit, and
where logits are large all probabilities of a row would be off by a factor. With r = log sum_j
exp(l_j - f) a term is log(1 + e^r), and its derivative, the sigmoid of r, a factor of all the
row's gradients: the target's probability less 1, which is 0 where a row is confident, is never
formed.

**Backward.** A chunk's logits are recomputed (the same product of the same operands: the same
bits), become exp(l_j - largest) in place and feed both gradients; dW is written into its rows
directly. What all of a row has in common scales the B x D operands. That is one product more than
with the logits kept, paid for by chunks that stay in the caches, where B x C logits are fresh pages
written and read.

Chunks are dealt out to the threads in contiguous shares (`shares`), whose dX are added in
their order: the same bits every time for the same number of threads.

Memory beyond the gradients, in numbers of float32 (float64 for float64): a scratch of B x columns
and, where class weights are widened or normalised, columns x D for each thread, a dX (B x D) for
each, O(B + C), 2 B for each chunk, and, where logits are scaled or a margin is steep, a few B x D.
B batch, D dimension, C classes, N columns of a chunk, K chunks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from ..checks import InputError
from .lengths import along_own, inverse_lengths, scaled
from .once import differentiable_once
from .reduction import wide
from .shares import in_shares, undivided
from .steep import pulls
from .target_margins import Margined, MarginFunction

# 512 x 512 numbers are a megabyte. Wider chunks gain nothing; narrower ones make small products.
_MOST_COLUMNS = 512
_LEAST_COLUMNS = 128
_UNIT = 16
# All threads' scratch together is at most this part of the logits where chunks need not be narrower
# than the least.
_PART = 1 / 32


def check_cpu(embeddings: Tensor) -> None:
    """Raises InputError where the embeddings are not on the CPU."""
    if embeddings.device.type != "cpu":
        raise InputError("embeddings", "a tensor on the CPU", f"one on {embeddings.device}")


@torch.compiler.disable
def terms(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    scale_B: Tensor | None = None,
    margins_PB: Tensor | None = None,
    *,
    margin_function: MarginFunction | None = None,
    unit_weights: bool = False,
    steep: bool = False,
) -> Tensor:
    """The terms (B, float32, or float64 for float64 inputs), differentiable once.

    embeddings (B x D), labels (B, int64), class_weights (C x D) and bias (C) share a float dtype;
    16-bit ones are widened, a chunk at a time. ``scale_B`` multiplies the rows' logits (but for the
    bias), ``margins_PB`` goes to the margin function; both are differentiable. Without a margin
    the target's logit stays as it is. ``steep``, of unit weights: the margin's slope has no bound
    (`steep`). torch.compile leaves this to eager.
    """
    x_BD = embeddings if scale_B is None else scaled(embeddings, scale_B)
    return _Terms.apply(
        x_BD, labels, class_weights, bias, margins_PB, margin_function, unit_weights, steep
    )


class _Terms(torch.autograd.Function):
    """Products are made in the class weights' dtype, or float32, whatever the embeddings' is."""

    @staticmethod
    def forward(ctx, x_BD, y_B, w_CD, bias_C, margins_PB, margin_function, unit_weights, steep):
        with undivided() as threads, torch.autocast("cpu", enabled=False):
            x_wide_BD = x_BD.to(wide(w_CD[:0]).dtype).contiguous()
            inverse_C = x_wide_BD.new_empty(len(w_CD)) if unit_weights else None
            chunks = _Chunks(x_wide_BD, y_B, w_CD, bias_C, inverse_C, threads)
            by_margins_PB = None
            if margin_function is None:
                target_B = x_wide_BD.new_empty(len(y_B))
                slope_B, radial_B = torch.ones_like(target_B), torch.zeros_like(target_B)
                top_B, total_B = _sums(chunks, target_B)
            else:
                target_B, slope_B, radial_B, by_margins_PB = _targets_with_margin(
                    x_BD, y_B, w_CD, bias_C, unit_weights, margin_function, margins_PB
                )
                top_B, total_B = _sums(chunks, None)
            rest_B = top_B.double() - target_B + total_B.log()
            terms_B = torch.logaddexp(rest_B, rest_B.new_zeros(())).to(x_wide_BD.dtype)
            miss_B = rest_B.sigmoid().to(total_B.dtype)
            steeply = (slope_B, radial_B) if steep else (None, None)
            if steep:
                slope_B, radial_B = torch.zeros_like(slope_B), torch.zeros_like(radial_B)
            # Of exp(l_j - largest) to the gradient; the target's entry and x's are in its units.
            share_B = miss_B / total_B
            pull_B, radial_B = (
                -total_B * part_B.to(total_B.dtype) for part_B in (slope_B, radial_B)
            )
        # Chunks cut for other threads would have other products, whose bits may differ.
        ctx.threads = threads
        ctx.save_for_backward(
            x_BD, y_B, w_CD, bias_C, inverse_C, top_B, share_B, pull_B, radial_B, miss_B,
            by_margins_PB, *steeply,
        )  # fmt: skip
        return terms_B

    @staticmethod
    @differentiable_once
    def backward(ctx, upstream_B):
        x_BD, y_B, w_CD, bias_C, inverse_C, top_B, share_B, pull_B, radial_B = ctx.saved_tensors[:9]
        miss_B, by_margins_PB, *steeply = ctx.saved_tensors[9:]
        wanted = [ctx.needs_input_grad[i] for i in (0, 2, 3)]
        miss_B = upstream_B * miss_B
        by_x_BD = by_own_BD = d_margins_PB = None
        with undivided(), torch.autocast("cpu", enabled=False):
            x_wide_BD = x_BD.to(wide(w_CD[:0]).dtype).contiguous()
            chunks = _Chunks(x_wide_BD, y_B, w_CD, bias_C, inverse_C, ctx.threads)
            share_B = upstream_B * share_B
            if steeply[0] is not None:
                by_x_BD, by_own_BD = (
                    by_BD.mul_(-miss_B[:, None])
                    for by_BD in pulls(x_BD, w_CD.index_select(0, y_B), *steeply)
                )
            dx_BD, dw_CD, db_C = _gradients(chunks, top_B, pull_B, share_B, by_own_BD, wanted)
            if dx_BD is not None:
                if by_x_BD is None:
                    dx_BD.addcmul_(x_wide_BD, radial_B[:, None]).mul_(share_B[:, None])
                else:
                    dx_BD = by_x_BD.add_(dx_BD.mul_(share_B[:, None]))
                dx_BD = dx_BD.to(x_BD.dtype)
            if db_C is not None:
                db_C = db_C.to(w_CD.dtype)
            if by_margins_PB is not None and ctx.needs_input_grad[4]:
                d_margins_PB = -miss_B * by_margins_PB
        return dx_BD, None, dw_CD, db_C, d_margins_PB, None, None, None


class _Chunks:
    """The classes in chunks, dealt out in shares, with each share's scratch."""

    def __init__(
        self,
        x_BD: Tensor,
        y_B: Tensor,
        w_CD: Tensor,
        bias_C: Tensor | None,
        inverse_C: Tensor | None,
        threads: int,
    ) -> None:
        self.x_BD, self.w_CD, self.bias_C, self.inverse_C = x_BD, w_CD, bias_C, inverse_C
        (B, D), C = x_BD.shape, len(w_CD)
        most = min(_MOST_COLUMNS, max(_LEAST_COLUMNS, int(C * _PART) // threads))
        # Whole units, about as many in each chunk: a narrow or odd rest would be multiplied by
        # other code, which rounds logits that equal those of other chunks in another way.
        units = -(-C // _UNIT)
        self.number = -(-units // (most // _UNIT))
        self._edges = [min(C, units * k // self.number * _UNIT) for k in range(self.number + 1)]
        self.columns = max(b - a for a, b in itertools.pairwise(self._edges))
        self.shares = min(threads, self.number)
        self._logits = x_BD.new_empty(self.shares, B * self.columns)
        as_they_are = w_CD.dtype == x_BD.dtype and inverse_C is None
        self._weights = None if as_they_are else x_BD.new_empty(self.shares, self.columns, D)
        self._sorted_B, self._order_B = y_B.sort(stable=True)
        self._hits = torch.searchsorted(self._sorted_B, torch.tensor(self._edges)).tolist()

    def of(self, share: int) -> Iterator[tuple[int, slice]]:
        """Number and classes of each chunk of a share."""
        first, end = (self.number * s // self.shares for s in (share, share + 1))
        for k in range(first, end):
            yield k, slice(self._edges[k], self._edges[k + 1])

    def weights(self, share: int, at: slice, *, measure: bool = False) -> Tensor:
        """A chunk's class weights (N x D), widened and of unit length where that is asked for.

        ``measure`` fills in one over their lengths, 0 for length 0, on the way.
        """
        if self._weights is None:
            return self.w_CD[at]
        weights_ND = self._weights[share, : at.stop - at.start]
        weights_ND.copy_(self.w_CD[at])
        if self.inverse_C is None:
            return weights_ND
        if measure:
            self.inverse_C[at] = inverse_lengths(weights_ND)
        return weights_ND.mul_(self.inverse_C[at, None])

    def logits(self, share: int, at: slice, weights_ND: Tensor) -> Tensor:
        """A chunk's logits (B x N) in the share's scratch."""
        B, N = len(self.x_BD), at.stop - at.start
        logits_BN = self._logits[share, : B * N].view(B, N)
        if self.bias_C is None:
            return torch.mm(self.x_BD, weights_ND.T, out=logits_BN)
        bias_N = self.bias_C[at].to(logits_BN.dtype)
        return torch.addmm(bias_N, self.x_BD, weights_ND.T, out=logits_BN)

    def targets(self, k: int, at: slice) -> tuple[Tensor, Tensor]:
        """Rows and columns of the targets' entries that lie in the chunk."""
        hits = slice(self._hits[k], self._hits[k + 1])
        return self._order_B[hits], self._sorted_B[hits] - at.start


def _targets_with_margin(
    x_BD: Tensor,
    y_B: Tensor,
    w_CD: Tensor,
    bias_C: Tensor | None,
    unit_weights: bool,
    margin_function: MarginFunction,
    margins_PB: Tensor | None,
) -> Margined:
    """What the margin function gives for each row, in float64, with the bias in the logit."""
    plain_B, length_B = along_own(x_BD, w_CD.index_select(0, y_B), unit_weights)
    target_B, slope_B, radial_B, by_PB = margin_function(plain_B, length_B, margins_PB)
    if bias_C is not None:
        target_B = target_B + bias_C[y_B]
    return target_B, slope_B, radial_B, by_PB


def _sums(chunks: _Chunks, plain_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of each row the largest logit beside the target's, and the sum over the other classes of
    exp(logit - largest). Without another class the largest is the lowest number there is.

    The target's plain logits go into ``plain_B``, out of the same product: by another order of
    its sum they would be rounded apart from the others.
    """
    top_KB, total_KB = chunks.x_BD.new_empty(2, chunks.number, len(chunks.x_BD))
    lowest = torch.finfo(top_KB.dtype).min

    def work(share: int) -> None:
        for k, at in chunks.of(share):
            weights_ND = chunks.weights(share, at, measure=True)
            logits_BN = chunks.logits(share, at, weights_ND)
            entries = chunks.targets(k, at)
            if plain_B is not None:
                plain_B[entries[0]] = logits_BN[entries]
            logits_BN[entries] = lowest
            torch.amax(logits_BN, dim=1, out=top_KB[k])
            logits_BN.sub_(top_KB[k][:, None]).exp_()
            torch.sum(logits_BN, dim=1, out=total_KB[k])

    in_shares(work, chunks.shares)
    top_B = top_KB.amax(dim=0)
    return top_B, total_KB.mul_(top_KB.sub_(top_B).exp_()).sum(dim=0)


def _gradients(
    chunks: _Chunks,
    top_B: Tensor,
    pull_B: Tensor,
    share_B: Tensor,
    by_own_BD: Tensor | None,
    wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """dX before the radial part and the share, dW, and db, or None if not ``wanted``.

    The derivative of the loss by a row's logits is ``share_B`` times exp(logit - top), by the
    target's plain logit ``share_B`` times ``pull_B``; ``by_own_BD`` is what each row adds to the
    gradient of its own class weight beside that.
    """
    x_BD, w_CD, shares = chunks.x_BD, chunks.w_CD, chunks.shares
    dx_SBD = x_BD.new_zeros(shares, *x_BD.shape) if wanted[0] else None
    dw_CD = torch.empty_like(w_CD, memory_format=torch.contiguous_format) if wanted[1] else None
    db_C = x_BD.new_empty(len(w_CD)) if wanted[2] else None
    scaled_BD = x_BD * share_B[:, None]
    direct = w_CD.dtype == x_BD.dtype
    rows_SND = None if direct else x_BD.new_empty(shares, chunks.columns, x_BD.shape[1])

    def work(share: int) -> None:
        for k, at in chunks.of(share):
            weights_ND = chunks.weights(share, at)
            d_BN = chunks.logits(share, at, weights_ND).sub_(top_B[:, None]).exp_()
            entries = chunks.targets(k, at)
            d_BN[entries] = pull_B[entries[0]]
            if dx_SBD is not None:
                dx_SBD[share].addmm_(d_BN, weights_ND)
            if dw_CD is not None:
                dw_ND = dw_CD[at] if rows_SND is None else rows_SND[share, : len(weights_ND)]
                torch.mm(d_BN.T, scaled_BD, out=dw_ND)
                if chunks.inverse_C is not None:
                    _off_direction(dw_ND, weights_ND, chunks.inverse_C[at])
                if by_own_BD is not None:
                    rows, columns = entries
                    dw_ND.index_add_(0, columns, by_own_BD[rows].to(dw_ND.dtype))
                if rows_SND is not None:
                    dw_CD[at] = dw_ND
            if db_C is not None:
                # Not as a product: that sums one row after the other and loses digits.
                torch.sum(d_BN.mul_(share_B[:, None]), dim=0, out=db_C[at])

    if any(wanted):
        in_shares(work, shares)
    if dx_SBD is None:
        return None, dw_CD, db_C
    return dx_SBD[0] if shares == 1 else dx_SBD.sum(dim=0), dw_CD, db_C


def _off_direction(d_unit_ND: Tensor, unit_ND: Tensor, inverse_N: Tensor) -> None:
    """Backward of row / ||row||, in place: the part off the row's direction, over its length."""
    along_N = torch.einsum("nd,nd->n", d_unit_ND, unit_ND)
    d_unit_ND.addcmul_(unit_ND, along_N[:, None], value=-1).mul_(inverse_N[:, None])
