"""A-Softmax (SphereFace) as a module that owns its class weights, and its annealing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import check_number, check_whole
from ..shared.modules import Head
from .arguments import check_margin
from .functional import a_softmax


@dataclass(frozen=True)
class Annealing:
    """lambda = max(floor, base (1 + gamma t)^-power) after t steps: how much of the plain cosine
    the target's logit keeps, against one part of psi, which holds the margin.

    >>> from marginbench import Annealing
    >>> Annealing()(0), round(Annealing()(1_000), 2), Annealing()(2_000)
    (1000.0, 8.26, 5.0)

    Arguments:
        base: lambda before the first step, >= 0.
        gamma, power: how fast it falls, >= 0 each.
        floor: the least lambda, >= 0.

    Returns:
        Called with the number of steps that were made: lambda.

    Raises:
        InputError: names the argument, what was expected and what came.

    Source: Liu, Wen, Yu, Li, Raj, Song 2017 (SphereFace), appendix G; the defaults are those of its
    release (wy1iu/sphereface f20b130, train/code/sphereface_model.prototxt).
    """

    base: float = 1000.0
    gamma: float = 0.12
    power: float = 1.0
    floor: float = 5.0

    def __post_init__(self) -> None:
        for name in ("base", "gamma", "power", "floor"):
            object.__setattr__(self, name, check_number(name, getattr(self, name), 0))

    def __call__(self, steps: int) -> float:
        return max(self.floor, self.base * (1 + self.gamma * steps) ** -self.power)


class ASoftmaxLoss(Head):
    """Softmax over unit class weights with an angular margin on the target's logit (SphereFace).

    >>> import torch
    >>> from marginbench import Annealing, ASoftmaxLoss
    >>> loss = ASoftmaxLoss(dim=16, classes=10, m=4, annealing=Annealing())
    >>> embeddings = torch.randn(4, 16, requires_grad=True)
    >>> loss(embeddings, torch.tensor([0, 3, 3, 9])).backward()
    >>> loss.step()  # after each step of the optimiser: the margin comes in bit by bit
    >>> round(loss.annealing, 2)
    892.86

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        m: the margin, 1 (none: modified softmax), 2, 3 or 4.
        annealing: lambda >= 0, or an `Annealing` that `step` moves along. Training from
            scratch with m = 4 and no annealing often fails.
        reduction: ``mean``, ``sum`` or ``none``.
        ignore_index: rows of this label count for nothing.
        label_smoothing: in [0, 1].
        implementation: ``auto``, ``triton``, ``tiled``, ``eager`` or ``reference``.
        device, dtype: of the class weights.

    With a schedule its steps are part of the state_dict, as the buffer ``annealing_steps``.

    Returns:
        Called with embeddings (B x D), labels (B) and, where rows weigh differently, weights (B):
        a scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Liu, Wen, Yu, Li, Raj, Song 2017 (SphereFace), equations 5 to 7; annealing: appendix G.
    """

    unit_weights = True
    annealing_steps: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        m: int = 4,
        annealing: float | Annealing = 0.0,
        reduction: str = "mean",
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        implementation: str = "auto",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            dim, classes, bias=False, reduction=reduction, ignore_index=ignore_index,
            label_smoothing=label_smoothing, implementation=implementation, device=device,
            dtype=dtype,
        )  # fmt: skip
        self.m, self._steps = check_margin(m), 0
        self.schedule: Annealing | None = None
        if isinstance(annealing, Annealing):
            self.schedule, annealing = annealing, annealing(0)
        self._annealing = check_number("annealing", annealing, 0)
        self._followed: tuple[int, int] | None = None
        if self.schedule is not None:
            self.register_buffer("annealing_steps", torch.zeros((), dtype=torch.int64))

    @property
    def steps(self) -> int:
        """How often `step` was called, or what the state_dict says."""
        self._follow()
        return self._steps

    @property
    def annealing(self) -> float:
        """lambda as it is now."""
        self._follow()
        return self._annealing

    @annealing.setter
    def annealing(self, annealing: float) -> None:
        self._annealing = check_number("annealing", annealing, 0)

    def _follow(self) -> None:
        """Others write the buffer too: a checkpoint, DDP on the ranks beside the first, an average
        of weights. It is read, which waits for a GPU, only after it was written."""
        if self.schedule is None or torch.compiler.is_compiling():
            return
        buffer = self.annealing_steps
        if (id(buffer), buffer._version) != self._followed and not buffer.is_meta:
            self._go_to(int(buffer))

    def step(self, steps: int = 1) -> None:
        """Move the annealing along by so many steps of the optimiser.

        >>> from marginbench import Annealing, ASoftmaxLoss
        >>> loss = ASoftmaxLoss(dim=16, classes=10, annealing=Annealing())
        >>> loss.step(1_000)
        >>> loss.steps, round(loss.annealing, 2)
        (1000, 8.26)

        Arguments:
            steps: a whole number from 0 on.

        Raises:
            InputError: ``steps`` is something else.
        """
        self._steps = self.steps + check_whole("steps", steps, 0)
        if self.schedule is not None:
            with torch.no_grad():
                self.annealing_steps.fill_(self._steps)
            self._go_to(self._steps)

    def _go_to(self, steps: int) -> None:
        """What the buffer says."""
        self._steps = steps
        if self.schedule is not None:
            self._annealing = self.schedule(steps)
            self._followed = id(self.annealing_steps), self.annealing_steps._version

    def _shown(self) -> dict[str, Any]:
        annealing = self.annealing if self.schedule is None else self.schedule
        return {**super()._shown(), "m": self.m, "annealing": annealing}

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        return a_softmax(
            embeddings, labels, self.class_weights, m=self.m, annealing=self.annealing,
            **self._options(weights),
        )  # fmt: skip
