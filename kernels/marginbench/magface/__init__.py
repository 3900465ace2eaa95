"""MagFace: ArcFace with a margin that grows with the embedding's length.

The length then comes to say how good an image is.

With a = ||x|| clamped to [l_a, u_a], the margin m(a) goes evenly from l_m to u_m, and each row adds
lambda_g (a / u_a^2 + 1 / a), which falls up to a = u_a. Neither is detached: the loss has a
gradient along the embedding, which is 0 where the length is clamped.

- ``true`` is the paper's equation, cos(theta + m(a)) at all angles.
- ``easy`` has the margin below a right angle alone, as its repository trains (models/magface.py at
  99bae61: `easy_margin` is the default of MagLinear, and SoftmaxBuilder leaves it so). Without it
  the repository goes on as cos theta - m sin m past pi - m. Where it has cos theta - m(a) in place
of both (ParallelMagLinear with `useArcFace` off, run/run_dist_cos.sh), it has no variant here.

10, 110, 0.45, 0.8, 35 and s = 64 are those of its scripts (run/run.sh, run/run_dist.sh). The
default of trainer.py for lambda_g, 20, is below the least that it asks for itself: s k u_a^2 l_a^2
/ (u_a^2 - l_a^2) with k = (u_m - l_m) / (u_a - l_a), here 22.6. Its README advises [1, 51, 0.45, 1,
5] where lengths are about 1.
"""

import math

from ..loss import Loss, Range, Training
from ..shared.cosine_declarations import variant

_PAPER = "Meng, Zhao, Huang, Zhou 2021 (MagFace)"


def margin_at(length: float, l_a: float, u_a: float, l_m: float, u_m: float) -> float:
    """m(a) at a length of an embedding."""
    a = max(l_a, min(u_a, length))
    return l_m + (u_m - l_m) * (a - l_a) / (u_a - l_a)


def _target_of_cosine(
    cosine: float, *, length: float, l_a: float, u_a: float, l_m: float, u_m: float, rule: str,
    **_: float,
) -> float:  # fmt: skip
    if rule == "easy" and cosine <= 0:
        return cosine
    return math.cos(math.acos(cosine) + margin_at(length, l_a, u_a, l_m, u_m))


def _added_at_length(
    length: float, *, l_a: float, u_a: float, lambda_g: float, **_: object
) -> float:
    a = max(l_a, min(u_a, length))
    return lambda_g * (a / u_a**2 + 1 / a)


def _variant(rule: str, summary: str, source: str, numbers: tuple[float, ...], **declared):
    names = ("l_a", "u_a", "l_m", "u_m", "lambda_g")
    return variant(
        rule,
        "magface",
        summary=summary,
        target=r"\cos(\theta_{y_i,i} + m(a_i))",
        added=r" + \lambda_g \sum_i \left(\frac{a_i}{u_a^2} + \frac{1}{a_i}\right)",
        target_of_cosine=_target_of_cosine,
        added_at_length=_added_at_length,
        source=source,
        options={"scale": 64.0, **dict(zip(names, numbers, strict=True)), "rule": rule},
        **declared,
    )


LOSS = Loss(
    name="magface",
    title="MagFace (angular margin by the embedding's length)",
    source=f"{_PAPER}, with its regulariser",
    training=Training(
        variant="true",
        search={
            "l_m": Range(0.05, 0.45),
            "u_m": Range(0.45, 1.0),
            "lambda_g": Range(1.0, 50.0, log=True),
            "scale": Range(8.0, 64.0, log=True),
        },
    ),
    cross_entropy_options={"lambda_g": 0.0},
    public={"MagFaceLoss": "modules:MagFaceLoss", "functional.magface": "functional:magface"},
    variants=(
        _variant(
            "true",
            "a margin of 0.45 to 0.8 for lengths of 10 to 110, at all angles",
            f"{_PAPER}; the numbers: its repository, run/run.sh",
            (10.0, 110.0, 0.45, 0.8, 35.0),
        ),
        _variant(
            "easy",
            "a margin of 0.45 to 1 for lengths of 1 to 51, below a right angle alone",
            f"{_PAPER}; its repository, models/magface.py, and the numbers of its README for "
            "lengths of about 1",
            (1.0, 51.0, 0.45, 1.0, 5.0),
            sweep=False,
        ),
    ),
)
