"""Partial FC: a head of many classes, trained a sample of them at a time."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import (
    InputError,
    as_int64,
    check_label_rows,
    check_labels,
    check_matrix,
    check_number,
    check_whole,
)
from . import head_options, sampling
from .modules import Head
from .reduction import reduce

_PER_CLASS = ("class_weights", "bias")
# Not a class: where the labels of ignored rows are, among the sampled classes.
_IGNORED = -1
# Above what `torch.rand` draws.
_FIRST = 2.0
# Two seeds' draws are so many apart.
_STRIDE, _SEEDS = 1_000_003, 2**63


class PartialFC(nn.Module):
    """Partial FC of a head: each training step is over the batch's classes and a random share of
    the others, and only their class weights get a gradient.

    >>> import torch
    >>> from marginbench import CosFaceLoss, PartialFC, RowSGD
    >>> loss = PartialFC(CosFaceLoss(dim=16, classes=1000), rate=0.1, seed=0)
    >>> optimizer = RowSGD(loss.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    >>> embeddings = torch.randn(4, 16, requires_grad=True)
    >>> loss(embeddings, torch.tensor([0, 3, 3, 999])).backward()
    >>> loss.head.class_weights.grad.coalesce().values().shape
    torch.Size([100, 16])
    >>> optimizer.step()  # moves these 100 rows alone

    In training it takes max(rate C, min(B, C)) classes, rounded: those of the labels, and random
    others, none twice. A batch's classes always find room, and the size does not depend on the
    labels, so that nothing waits for a GPU. (insightface takes fewer where the labels' classes are
    more than rate C: these alone.) In ``eval()``, or where that is all classes, it is the head. A
    draw depends on ``seed`` and on how many there were, which `state_dict` keeps: a training that
    is resumed draws as if it had not stopped.

    The gradients of class weights and bias are sparse (torch.sparse_coo), with a row for each
    sampled class. `marginbench.RowSGD` and `torch.optim.SparseAdam` leave all other rows as they
    are. `torch.optim.SGD` refuses them with weight decay, and with momentum goes on moving the rows
    of past steps; the gradient of insightface's second version is dense, and all rows move.
    `torch.nn.utils.clip_grad_norm_` takes none that is sparse.

    ``logits``, ``predict`` and ``topk`` are those of ``head``. Under activation checkpointing,
    whose second call draws anew, keep it outside. Inside DistributedDataParallel the backward
    raises NotImplementedError, for the gradients are sparse; outside, each rank's class weights
    would drift apart. Train in one process, or with all classes: the head itself.

    Arguments:
        head: a module of this library over class weights, of which each class has no more than a
            row and a bias; an ``ignore_index`` of it is no class.
        rate: in (0, 1], the share of the classes.
        seed: a whole number from 0 on.
        corrected: whether the other sampled classes stand for all others: each counts
            (C - 1) / (S - 1) times, for S sampled of C. Without, as published, the loss is that of
            S classes. A head with label smoothing or a regulariser can't be
            corrected; without, its smoothing is
            over the sampled classes.

    Returns:
        Called with embeddings (B x D), labels (B) and, where rows weigh differently, weights (B):
        what the head returns.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: An, Deng, Guo, Feng, Zhu, Yang, Liu 2022 (Partial FC), with the sampling of
    insightface's arcface_torch/partial_fc_v2.py; the correction is that of importance sampling
    (Bengio and Senecal 2003).
    """

    def __init__(
        self, head: Head, rate: float = 0.1, *, seed: int = 0, corrected: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(head, Head):
            raise InputError("head", "a loss of ours over class weights", type(head).__name__)
        kept = {name: one for name, one in head.state_dict().items() if isinstance(one, Tensor)}
        more = [name for name, one in kept.items() if one.ndim and name not in _PER_CLASS]
        if more:
            raise InputError("head", "one that keeps class weights and a bias alone", more)
        if head.ignore_index is not None and 0 <= head.ignore_index < head.classes:
            raise InputError("head", "one whose ignore_index is no class", head.ignore_index)
        if corrected and head.label_smoothing:
            raise InputError(
                "corrected", "False for a head with label smoothing", repr(corrected)
            )  # fmt: skip
        if corrected and head.regularised:
            expected = "False for a head with a regulariser beside the cross-entropy"
            raise InputError("corrected", expected, repr(corrected))
        self.head = head
        self.rate = check_number("rate", rate, 0, strict=True, high=1)
        self.seed, self.corrected, self.draws = check_whole("seed", seed, 0), bool(corrected), 0

    def extra_repr(self) -> str:
        return f"rate={self.rate}, seed={self.seed}, corrected={self.corrected}"

    def get_extra_state(self) -> dict[str, int]:
        """What is drawn next."""
        return {"seed": self.seed, "draws": self.draws}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Draw as the one that this was saved from."""
        self.seed, self.draws = state["seed"], state["draws"]

    def sample(self, labels: Tensor) -> Tensor:
        """The classes of the next step.

        >>> import torch
        >>> from marginbench import PartialFC, SoftmaxLoss
        >>> loss = PartialFC(SoftmaxLoss(dim=16, classes=10), rate=0.3)
        >>> classes = loss.sample(torch.tensor([9, 0]))
        >>> len(classes), classes[0], classes[-1]
        (3, tensor(0), tensor(9))

        Arguments:
            labels: (B), each a class, or ignored.

        Returns:
            (S), int64, rising.
        """
        weights, classes = self.head.class_weights, self.head.classes
        generator = torch.Generator(weights.device)
        generator.manual_seed((self.seed * _STRIDE + self.draws) % _SEEDS)
        self.draws += 1
        # One place more than there are classes, for labels that are none.
        order = torch.rand(classes + 1, generator=generator, device=weights.device)
        order.index_fill_(0, labels.where((labels >= 0) & (labels < classes), classes), _FIRST)
        return order[:classes].topk(self._size(len(labels))).indices.sort().values

    def _size(self, rows: int) -> int:
        classes = self.head.classes
        return max(round(self.rate * classes), min(rows, classes), 1)

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        head = self.head
        check_matrix("embeddings", embeddings)
        labels = as_int64(labels)
        check_label_rows("labels", labels, embeddings)
        if not self.training or self._size(len(labels)) == head.classes:
            return head(embeddings, labels, weights)
        sampled = self.sample(labels)
        own_B = self._places(sampled, labels)
        over = _over(head, sampled)

        def terms(labels: Tensor, reduction: str) -> Tensor:
            terms_B = over(embeddings, labels)
            if self.corrected:
                terms_B = sampling.stand_for_all(terms_B, head.classes, len(sampled))
            return reduce(terms_B, reduction)

        return head_options.loss(
            terms, embeddings, own_B, over.class_weights, over.bias, reduction=head.reduction,
            weights=weights, ignore_index=None if head.ignore_index is None else _IGNORED,
        )  # fmt: skip

    def _places(self, sampled: Tensor, labels: Tensor) -> Tensor:
        """Where the labels are among the sampled classes; `_IGNORED` where they are ignored."""
        head = self.head
        kept = labels != head.ignore_index if head.ignore_index is not None else None
        looked_up = labels if kept is None else labels.where(kept, sampled[0])
        check_labels("labels", looked_up, looked_up, classes=head.classes)
        own_B = sampling.places(sampled, looked_up, head.classes)
        return own_B if kept is None else own_B.where(kept, _IGNORED)


def _over(head: Head, sampled: Tensor) -> Head:
    """The head over these classes, a loss a row: what it is made of is shared with it."""
    over = copy.copy(head)
    rows: dict[str, Any] = {
        name: None if one is None else _Rows.apply(one, sampled)
        for name, one in head._parameters.items()
        if name in _PER_CLASS
    }
    over._parameters = {**head._parameters, **rows}
    over.reduction, over.ignore_index = "none", None
    return over


class _Rows(torch.autograd.Function):
    """Rows of a parameter by their numbers (rising, none twice), with a sparse gradient."""

    @staticmethod
    def forward(ctx: Any, of: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.size = of.shape
        return of.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        gradient = torch.sparse_coo_tensor(
            rows[None], upstream, ctx.size, is_coalesced=True, check_invariants=False
        )
        return gradient, None
