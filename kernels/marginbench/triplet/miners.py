"""Miners of triplets: a labelled batch in, indices of anchors, positives and negatives out."""

from __future__ import annotations

from torch import Tensor

from ..checks import as_int64, check_number
from ..implementations import WITHOUT_TILED, checked
from .functional import FILES

Triplets = tuple[Tensor, Tensor, Tensor]


class _Miner:
    """A rule that chooses triplets; ``implementation`` is an attribute."""

    _name = ""
    _offered: tuple[str, ...] = WITHOUT_TILED

    def __init__(self, *, implementation: str = "auto") -> None:
        self.implementation = checked(implementation, self._offered)

    def __repr__(self) -> str:
        shown = {**self._options(), "implementation": self.implementation}
        options = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{type(self).__name__}({options})"

    def _options(self) -> dict[str, float]:
        return {}

    def _mined(self, embeddings: Tensor, labels: Tensor) -> Triplets:
        implementation = self.implementation
        if implementation == "auto" and "triton" not in self._offered:
            implementation = "eager"
        called = FILES.function(self._name, implementation, embeddings)
        return called(embeddings, as_int64(labels), **self._options())


class BatchHardMiner(_Miner):
    """For each anchor its farthest positive and its nearest negative; ties go to the lowest index.

    >>> import torch
    >>> from marginbench.miners import BatchHardMiner
    >>> embeddings = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    >>> anchors, positives, negatives = BatchHardMiner()(embeddings, torch.tensor([0, 0, 1, 1]))
    >>> negatives
    tensor([2, 2, 1, 1])

    Arguments:
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        Called with embeddings (B x D) and labels (B): indices of anchors, positives and negatives
        (T each, int64); an anchor without a positive or without a negative gives no row.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Hermans, Beyer, Leibe 2017, section 2, with squared distances.
    """

    _name = "mine_batch_hard"

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Triplets:
        positives_B, negatives_B = self._mined(embeddings, labels)  # type: ignore[misc]
        anchors = ((positives_B >= 0) & (negatives_B >= 0)).nonzero()[:, 0]
        return anchors, positives_B[anchors], negatives_B[anchors]


class SemiHardMiner(_Miner):
    """For each anchor and positive the nearest negative beyond the positive, else the farthest
    negative; ties go to the lowest index.

    >>> import torch
    >>> from marginbench.miners import SemiHardMiner
    >>> embeddings = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    >>> anchors, positives, negatives = SemiHardMiner()(embeddings, torch.tensor([0, 0, 1, 1]))
    >>> negatives
    tensor([2, 2, 0, 1])

    Arguments:
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        Called with embeddings (B x D) and labels (B): indices of anchors, positives and negatives
        (T each, int64), a row for each pair of an anchor and a positive.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Schroff, Kalenichenko, Philbin 2015 (FaceNet), section 3.2.
    """

    _name = "mine_semi_hard"

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Triplets:
        return self._mined(embeddings, labels)


class AllSemiHardMiner(_Miner):
    """Every triplet whose negative lies beyond the positive but within the margin.

    >>> import torch
    >>> from marginbench.miners import AllSemiHardMiner
    >>> embeddings = torch.tensor([[0.0], [1.0], [1.5], [7.0]])
    >>> AllSemiHardMiner(margin=2.0)(embeddings, torch.tensor([0, 0, 1, 1]))
    (tensor([0]), tensor([1]), tensor([2]))

    Arguments:
        margin: of squared distances, >= 0.
        implementation: ``auto``, ``eager`` or ``reference``; there is no kernel, for how long the
            answer is depends on the data.

    Returns:
        Called with embeddings (B x D) and labels (B): indices of anchors, positives and negatives
        (T each, int64), in lexicographic order.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Schroff, Kalenichenko, Philbin 2015 (FaceNet), section 3.2.
    """

    _name = "mine_semi_hard_all"
    _offered = ("auto", "eager", "reference")

    def __init__(self, *, margin: float = 0.2, implementation: str = "auto") -> None:
        super().__init__(implementation=implementation)
        self.margin = check_number("margin", margin, 0)

    def _options(self) -> dict[str, float]:
        return {"margin": self.margin}

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Triplets:
        return self._mined(embeddings, labels)
