"""AdaFace as a module that owns its class weights and follows the lengths of the embeddings."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..checks import check_choice, check_number
from ..shared.cosine_heads import CosineHead
from . import lengths
from .arguments import RULES, check_margin
from .functional import FILES, adaface

#: Where the running mean and standard deviation start.
START = {"mean": 20.0, "std": 100.0}


class AdaFaceLoss(CosineHead):
    """Softmax over scaled cosines, with margins that adapt to the embedding's length (AdaFace).

    >>> import torch
    >>> from marginbench import AdaFaceLoss
    >>> loss = AdaFaceLoss(dim=16, classes=10, scale=30.0, t_alpha=0.5)
    >>> embeddings = torch.full((4, 16), 2.0, requires_grad=True)  # not normalised
    >>> loss(embeddings, torch.tensor([0, 3, 3, 9])).backward()
    >>> loss.mean, loss.std
    (tensor(14.), tensor(50.))

    Each call in training first moves ``mean`` and ``std``, those of the embeddings' lengths, by the
    batch's; ``eval()`` leaves them. They are buffers, filled in place and without waiting for a
    GPU; a batch that holds a NaN or an infinity leaves them as they are, and so does one that is
    refused. Where torch.distributed runs, the rows of
    all ranks count, in one all_reduce: every rank has to call it. Under activation checkpointing,
    which calls it twice, keep it outside.

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        scale: s > 0, fixed.
        margin: m in [0, pi], in radians on the angle.
        h: >= 0; m counts whole at 1 / h standard deviations from the mean.
        t_alpha: in [0, 1], the batch's share in the running statistics.
        rule: ``true`` or ``detached`` (`marginbench.functional.adaface`).
        reduction: ``mean``, ``sum`` or ``none``.
        ignore_index: rows of this label count for nothing but in the statistics.
        label_smoothing: in [0, 1].
        implementation: ``auto``, ``triton``, ``tiled``, ``eager`` or ``reference``.
        device, dtype: of the class weights; the statistics are float32, and stay so in a module of
            16 bits.

    Returns:
        Called with embeddings (B x D), labels (B) and, where rows weigh differently, weights (B):
        a scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called. In training without other ranks, embeddings of a single row have no
            standard deviation.

    Source: Kim, Jain, Liu 2022 (AdaFace); the defaults are its repository's (README.md,
    scripts/run_ir50_ms1mv2.sh), whose class has t_alpha = 1 for a default. The statistics start at
    20 and 100, as there.
    """

    offered = FILES.offered
    #: Two calls in training differ.
    differs_in_training = True

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        scale: float = 64.0,
        margin: float = 0.4,
        h: float = 0.333,
        t_alpha: float = 0.01,
        rule: str = "true",
        reduction: str = "mean",
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        implementation: str = "auto",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            dim, classes, scale=scale, reduction=reduction, ignore_index=ignore_index,
            label_smoothing=label_smoothing, implementation=implementation, device=device,
            dtype=dtype,
        )  # fmt: skip
        self.margin, self.h = check_margin(margin), check_number("h", h, 0)
        self.t_alpha = lengths.check_share(t_alpha)
        check_choice("rule", rule, RULES)
        self.rule = rule
        for name, value in START.items():
            made = torch.full((), value, dtype=torch.float32, device=device)
            self.register_buffer(name, made)

    def reset_parameters(self) -> None:
        """Draw the class weights anew; the statistics start again."""
        super().reset_parameters()
        for name in START.keys() & self._buffers.keys():  # none yet while the head is made
            getattr(self, name).fill_(START[name])

    def _shown(self) -> dict[str, Any]:
        names = ("margin", "h", "t_alpha", "rule")
        return {**super()._shown(), **{name: getattr(self, name) for name in names}}

    def _apply(self, fn: Any, recurse: bool = True) -> AdaFaceLoss:
        kept = {name: getattr(self, name) for name in START}
        super()._apply(fn, recurse)
        for name, before in kept.items():
            now = getattr(self, name)
            if now.dtype.itemsize < before.dtype.itemsize:
                # 16 bits would round a step's share away, and the statistics stand still.
                setattr(self, name, before.to(now.device))
        return self

    @torch.no_grad()
    def _followed(self, embeddings: Tensor) -> tuple[Tensor, ...]:
        """The statistics after those of these embeddings."""
        lengths.check_rows(embeddings)
        # One step of NaNs, as a scaler of gradients skips, must not stay for all others; nor of
        # infinities, which would count as the longest.
        some = embeddings.where(embeddings.isfinite(), math.nan)
        found = []
        for state, now in zip((self.mean, self.std), lengths.statistics(some), strict=True):
            moved = lengths.after(state, now, self.t_alpha).to(state.dtype)
            found.append(moved.where(moved.isfinite(), state))
        return tuple(found)

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        mean, std = self._followed(embeddings) if self.training else (self.mean, self.std)
        value: Tensor = adaface(
            embeddings, labels, self.class_weights, mean, std, scale=self.scale,
            margin=self.margin, h=self.h, rule=self.rule, **self._options(weights),
        )  # fmt: skip
        if self.training:  # not before: labels that are refused leave the statistics
            with torch.no_grad():
                self.mean.copy_(mean)
                self.std.copy_(std)
        return value
