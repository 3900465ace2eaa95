"""What public code computes under the name of MagFace.

Read anew: its own repository at 99bae614, FaceX-Zoo at 16b793a7. All have the gradient along the
embedding, through the margin and through the regulariser.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, where

from ..public_code import HeadLoss, PublicCode, cosine_head

# Of the label's cosines and the rows' margins, both B x 1.
Turned = Callable[[Tensor, Tensor], Tensor]


def _true(cosine: Tensor, margin: Tensor) -> Tensor:
    sine = (1 - cosine.square()).sqrt()
    return cosine * margin.cos() - sine * margin.sin()


def _easy(cosine: Tensor, margin: Tensor) -> Tensor:
    return where(cosine > 0, _true(cosine, margin), cosine)


def _guarded(cosine: Tensor, margin: Tensor) -> Tensor:
    past = cosine - margin * margin.sin()
    return where(cosine > -margin.cos(), _true(cosine, margin), past)


def _jumping(cosine: Tensor, margin: Tensor) -> Tensor:
    return where(cosine > -margin.cos(), _true(cosine, margin), cosine)


def _by_length(
    turned: Turned, *, scale: float, l_a: float, u_a: float, l_m: float, u_m: float, lambda_g: float
) -> HeadLoss:
    def loss(embeddings: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
        a_B1 = embeddings.norm(dim=1, keepdim=True).clamp(l_a, u_a)
        margin_B1 = l_m + (u_m - l_m) / (u_a - l_a) * (a_B1 - l_a)
        head = cosine_head(lambda cosine_B1: turned(cosine_B1, margin_B1), scale=scale)
        added = lambda_g * (a_B1 / u_a**2 + 1 / a_B1).mean()
        return head(embeddings, labels, class_weights) + added

    return loss


_GIVEN = {"scale": 64.0, "l_a": 10.0, "u_a": 110.0, "l_m": 0.45, "u_m": 0.8, "lambda_g": 35.0}
_COSINE = {**_GIVEN, "l_m": 0.35, "lambda_g": 150.0}
_FACEX = {**_GIVEN, "scale": 32.0, "lambda_g": 20.0}

PUBLIC_CODE = (
    PublicCode(
        "MagFace MagLinear, MagLoss",
        "IrvingMeng/MagFace 99bae614 models/magface.py:57-62, 84-109, 125-137, "
        "run/trainer.py:198-199",
        _by_length(_easy, **_GIVEN),
        _GIVEN,
        note="with the numbers of run/run.sh, and easy_margin, the default of both its MagLinear "
        "and ParallelMagLinear (models/parallel_maglinear.py:57-104)",
    ),
    PublicCode(
        "MagFace MagLinear without easy_margin",
        "IrvingMeng/MagFace 99bae614 models/magface.py:57-62, 84-109, 125-137, "
        "run/trainer.py:198-199",
        _by_length(_guarded, **_GIVEN),
        _GIVEN,
        note="cos theta - m sin m past pi - m, where it rises at once by less than m sin m; "
        "nothing in the repository turns easy_margin off",
    ),
    PublicCode(
        "MagFace ParallelMagLinear for the cosine",
        "IrvingMeng/MagFace 99bae614 models/parallel_maglinear.py:57-104, "
        "models/parallel_magloss.py:25-49",
        _by_length(lambda cosine, margin: cosine - margin, **_COSINE),
        _COSINE,
        note="with arc 0 and the numbers of run/run_dist_cos.sh: CosFace by the length",
    ),
    PublicCode(
        "FaceX-Zoo MagFace",
        "JDAI-CV/FaceX-Zoo 16b793a7 head/MagFace.py:15, 27-53, "
        "training_mode/conventional_training/train.py:67-70",
        _by_length(_jumping, **_FACEX),
        _FACEX,
        note="past pi - m its guard takes nothing off (margin_am = 0): the logit jumps up",
    ),
)
