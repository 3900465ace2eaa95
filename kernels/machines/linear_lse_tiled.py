"""Linear layer + log-sum-exp with a bend on the target's logit in plain PyTorch on a CPU: classes
go by in chunks, no B x C matrix is made.

The same function as the fused `linear_lse`; a bend is ``(straight_B, length_B) -> (target_B,
by_straight_B, by_length_B)``: from the target's plain logit and ||x|| the bent logit, its
derivative by the plain one, and its derivative by ||x|| over ||x||.

**Forward.** The target's logit f is made first. With it taken off all logits, a term is the
log-sum-exp itself, without a difference of large numbers at the end. A chunk's logits become
log-softmax in place; the largest before and after tells the chunk's log-sum-exp (any column
would, but others lie further off and lose digits).

**Backward.** A chunk's logits are made again, become probabilities in place and feed both
gradients; dW goes straight into its rows. Upstream gradients scale the B x D operands. That is one
product more than with the logits kept, paid for by chunks that stay in the caches, where B x C
logits are fresh pages written and read.

Chunks are dealt out to the threads in contiguous shares (`shares`), whose dX are added in
their order: the same bits every time for the same number of threads.

Memory beyond the gradients, in numbers of float32 (float64 for float64): a scratch of B x columns
and, where class weights are widened or normalised, columns x D for each thread, a dX (B x D) for
each, O(B + C), and B for each chunk. B batch, D dimension, C classes, N columns of a chunk, K
chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..checks import InputError
from .once import differentiable_once
from .reduction import wide
from .shares import in_shares, undivided

Bend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]

# 512 x 512 numbers are a megabyte. Wider chunks gain nothing; narrower ones make small products.
_MOST_COLUMNS = 512
_LEAST_COLUMNS = 128
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
    *,
    bend: Bend | None = None,
    unit_weights: bool = False,
) -> Tensor:
    """The terms (B, float32, or float64 for float64 inputs), differentiable once.

    embeddings (B x D), labels (B, int64), class_weights (C x D) and bias (C) share a float dtype;
    16-bit ones are widened, a chunk at a time. Without a bend the target's logit stays as it is.
    torch.compile leaves this to eager.
    """
    return _Terms.apply(embeddings, labels, class_weights, bias, bend, unit_weights)


class _Terms(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_BD, y_B, w_CD, bias_C, bend, unit_weights):
        with undivided() as threads, torch.autocast("cpu", enabled=False):
            x_wide_BD = wide(x_BD).contiguous()
            target_B, slope_B, radial_B = _targets(x_wide_BD, y_B, w_CD, bias_C, bend, unit_weights)
            inverse_C = x_wide_BD.new_empty(len(w_CD)) if unit_weights else None
            chunks = _Chunks(x_wide_BD, y_B, w_CD, bias_C, inverse_C, threads)
            terms_B = _log_sums(chunks, target_B)
            log_sum_B = target_B + terms_B
            miss_B = torch.expm1(-terms_B)  # the target's probability less 1
            by_straight_B, by_length_B = miss_B * slope_B, miss_B * radial_B
        ctx.save_for_backward(
            x_BD, y_B, w_CD, bias_C, inverse_C, log_sum_B, by_straight_B, by_length_B
        )
        return terms_B

    @staticmethod
    @differentiable_once
    def backward(ctx, upstream_B):
        x_BD, y_B, w_CD, bias_C, inverse_C, *rows = ctx.saved_tensors
        log_sum_B, by_straight_B, by_length_B = rows
        wanted = [ctx.needs_input_grad[i] for i in (0, 2, 3)]
        with undivided() as threads, torch.autocast("cpu", enabled=False):
            x_wide_BD = wide(x_BD).contiguous()
            chunks = _Chunks(x_wide_BD, y_B, w_CD, bias_C, inverse_C, threads)
            dx_BD, dw_CD, db_C = _gradients(chunks, log_sum_B, by_straight_B, upstream_B, wanted)
            if dx_BD is not None:
                dx_BD.addcmul_(x_wide_BD, by_length_B[:, None]).mul_(upstream_B[:, None])
                dx_BD = dx_BD.to(x_BD.dtype)
            if db_C is not None:
                db_C = db_C.to(x_BD.dtype)
        return dx_BD, None, dw_CD, db_C, None, None


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
        self.columns = min(C, _MOST_COLUMNS, max(_LEAST_COLUMNS, int(C * _PART) // threads))
        self.number = -(-C // self.columns)
        self.shares = min(threads, self.number)
        self._logits = x_BD.new_empty(self.shares, B * self.columns)
        as_they_are = w_CD.dtype == x_BD.dtype and inverse_C is None
        self._weights = None if as_they_are else x_BD.new_empty(self.shares, self.columns, D)
        self._sorted_B, self._order_B = y_B.sort(stable=True)
        edges = torch.arange(self.number + 1).mul_(self.columns)
        self._hits = torch.searchsorted(self._sorted_B, edges).tolist()

    def of(self, share: int) -> Iterator[tuple[int, slice]]:
        """Number and classes of each chunk of a share."""
        first, end = (self.number * s // self.shares for s in (share, share + 1))
        for k in range(first, end):
            yield k, slice(k * self.columns, min((k + 1) * self.columns, len(self.w_CD)))

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
            self.inverse_C[at] = _inverse(torch.linalg.vector_norm(weights_ND, dim=1))
        return weights_ND.mul_(self.inverse_C[at, None])

    def logits(self, share: int, at: slice, weights_ND: Tensor, less_B: Tensor) -> Tensor:
        """A chunk's logits (B x N) less a number for each row, in the share's scratch."""
        B, N = len(self.x_BD), at.stop - at.start
        logits_BN = self._logits[share, : B * N].view(B, N)
        if self.bias_C is None:
            torch.mm(self.x_BD, weights_ND.T, out=logits_BN)
        else:
            bias_N = self.bias_C[at].to(logits_BN.dtype)
            torch.addmm(bias_N, self.x_BD, weights_ND.T, out=logits_BN)
        # Not before the product: a bias less a log-sum-exp loses the same digits in every row, and
        # over many rows that error would not cancel.
        return logits_BN.sub_(less_B[:, None])

    def put(self, k: int, at: slice, matrix_BN: Tensor, value_B: Tensor) -> None:
        """Sets the targets' entries that lie in the chunk."""
        hits = slice(self._hits[k], self._hits[k + 1])
        rows = self._order_B[hits]
        matrix_BN[rows, self._sorted_B[hits] - at.start] = value_B[rows]


def _inverse(length: Tensor) -> Tensor:
    return length.reciprocal_().masked_fill_(length.isinf(), 0)


def _targets(
    x_BD: Tensor,
    y_B: Tensor,
    w_CD: Tensor,
    bias_C: Tensor | None,
    bend: Bend | None,
    unit_weights: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The target's logit of each row, its slope and its radial part (`Bend`)."""
    own_BD = wide(w_CD[y_B])
    target_B = (x_BD * own_BD).sum(dim=1)
    if unit_weights:
        target_B *= _inverse(torch.linalg.vector_norm(own_BD, dim=1))
    slope_B, radial_B = torch.ones_like(target_B), torch.zeros_like(target_B)
    if bend is not None:
        length_B = torch.linalg.vector_norm(x_BD, dim=1)
        target_B, slope_B, radial_B = bend(target_B, length_B)
    if bias_C is not None:
        target_B = target_B + bias_C[y_B]
    return target_B, slope_B, radial_B


def _log_sums(chunks: _Chunks, target_B: Tensor) -> Tensor:
    """Over all classes, log-sum-exp of the logits less the target's: the terms."""
    parts_KB = target_B.new_empty(chunks.number, len(target_B))
    nothing_B = torch.zeros_like(target_B)

    def work(share: int) -> None:
        for k, at in chunks.of(share):
            weights_ND = chunks.weights(share, at, measure=True)
            logits_BN = chunks.logits(share, at, weights_ND, target_B)
            chunks.put(k, at, logits_BN, nothing_B)
            torch.amax(logits_BN, dim=1, out=parts_KB[k])
            torch.log_softmax(logits_BN, dim=1, out=logits_BN)
            parts_KB[k] -= logits_BN.amax(dim=1)

    in_shares(work, chunks.shares)
    return parts_KB.logsumexp(dim=0)


def _gradients(
    chunks: _Chunks,
    log_sum_B: Tensor,
    by_straight_B: Tensor,
    upstream_B: Tensor,
    wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """dX before its upstream gradient and the radial part, dW, and db, or None if not ``wanted``.

    ``by_straight_B`` is the derivative of each term by the target's plain logit.
    """
    x_BD, w_CD, shares = chunks.x_BD, chunks.w_CD, chunks.shares
    dx_SBD = x_BD.new_zeros(shares, *x_BD.shape) if wanted[0] else None
    dw_CD = torch.empty_like(w_CD, memory_format=torch.contiguous_format) if wanted[1] else None
    db_C = x_BD.new_empty(len(w_CD)) if wanted[2] else None
    scaled_BD = x_BD * upstream_B[:, None]
    direct = w_CD.dtype == x_BD.dtype
    rows_SND = None if direct else x_BD.new_empty(shares, chunks.columns, x_BD.shape[1])

    def work(share: int) -> None:
        for k, at in chunks.of(share):
            weights_ND = chunks.weights(share, at)
            d_BN = chunks.logits(share, at, weights_ND, log_sum_B).exp_()
            chunks.put(k, at, d_BN, by_straight_B)
            if dx_SBD is not None:
                dx_SBD[share].addmm_(d_BN, weights_ND)
            if dw_CD is not None:
                dw_ND = dw_CD[at] if rows_SND is None else rows_SND[share, : len(weights_ND)]
                torch.mm(d_BN.T, scaled_BD, out=dw_ND)
                if chunks.inverse_C is not None:
                    _off_direction(dw_ND, weights_ND, chunks.inverse_C[at])
                if rows_SND is not None:
                    dw_CD[at] = dw_ND
            if db_C is not None:
                # Not as a product: that sums one row after the other and loses digits.
                torch.sum(d_BN.mul_(upstream_B[:, None]), dim=0, out=db_C[at])

    if any(wanted):
        in_shares(work, shares)
    if dx_SBD is None:
        return None, dw_CD, db_C
    return dx_SBD[0] if shares == 1 else dx_SBD.sum(dim=0), dw_CD, db_C


def _off_direction(d_unit_ND: Tensor, unit_ND: Tensor, inverse_N: Tensor) -> None:
    """Backward of row / ||row||, in place: the part off the row's direction, over its length."""
    along_N = torch.einsum("nd,nd->n", d_unit_ND, unit_ND)
    d_unit_ND.addcmul_(unit_ND, along_N[:, None], value=-1).mul_(inverse_N[:, None])
