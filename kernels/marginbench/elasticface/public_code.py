"""What public code computes under the name of ElasticFace, of margins that are given.

Read anew at 5496ec06. Public code draws its margins as it goes; here they are those of the case,
so that what is compared is what is done with them.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..public_code import HeadLoss, PublicCode, cosine_head

# Of the label's cosines and the rows' margins, both B x 1.
Moved = Callable[[Tensor, Tensor], Tensor]


def _turned(cosine: Tensor, margin: Tensor) -> Tensor:
    return (cosine.acos() + margin).cos()


def _less(cosine: Tensor, margin: Tensor) -> Tensor:
    return cosine - margin


def _by_place(moved: Moved) -> Moved:
    """Row i has the margin, of the rising ones, whose place is the row of the i-th largest
    cosine."""

    def placed(cosine: Tensor, margin: Tensor) -> Tensor:
        falling = cosine.detach().argsort(dim=0, descending=True)
        return moved(cosine, margin.sort(dim=0).values.gather(0, falling))

    return placed


def _drawn(moved: Moved) -> HeadLoss:
    def loss(embeddings: Tensor, labels: Tensor, class_weights: Tensor, margins: Tensor) -> Tensor:
        head = cosine_head(lambda cosine_B1: moved(cosine_B1, margins[:, None]), scale=64)
        return head(embeddings, labels, class_weights)

    return loss


def _code(name: str, lines: str, moved: Moved, note: str) -> PublicCode:
    source = f"fdbtrs/ElasticFace 5496ec06 utils/losses.py:{lines}"
    return PublicCode(
        f"ElasticFace {name}", source, _drawn(moved), {"scale": 64.0}, takes=("margins",), note=note
    )


_SHARED = (
    "shares sorted margins out by the place that a cosine came from, not by its rank: ours of at "
    "most two rows, and another of more"
)

PUBLIC_CODE = (
    _code("ElasticArcFace", "36-55", _turned,
          "config/config.py:23-26: 0.5 and a deviation of 0.05"),
    _code("ElasticCosFace", "70-88", _less,
          "config/config.py:31-34: 0.35 and a deviation of 0.05"),
    _code("ElasticArcFace plus", "36-55", _by_place(_turned),
          f"{_SHARED}; config/config.py:19-22: 0.5 and a deviation of 0.0175"),
    _code("ElasticCosFace plus", "70-88", _by_place(_less),
          f"{_SHARED}; config/config.py:27-30: 0.35 and a deviation of 0.02"),
)  # fmt: skip
