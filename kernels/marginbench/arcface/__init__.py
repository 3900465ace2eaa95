"""ArcFace: a margin added to the target's angle, in the five forms that public code computes.

- ``true`` is the paper's equation, with no guard past pi - m and the derivative of its value:
  ElasticFace (utils/losses.py), insightface's mxnet training, Paddle's margin_cross_entropy.
- ``guarded`` goes on as cos theta - m sin m past pi - m: CurricularFace (head/metrics.py),
  pytorch-metric-learning (arcface_loss.py, in degrees: 28.6), insightface until 657ae30e.
- ``detached`` has the value of ``true`` and the slope of cos theta: insightface's arcface_torch
  (losses.py, under no_grad), CVLface. The true slope is sin(theta + m) / sin theta of that: 3.6
  times at 10 degrees, 0.6 times at 130.
- ``easy`` has the margin below a right angle alone: an option of many.
- ``clipped`` keeps cos theta within 1 - 1e-4 and theta + m within pi - 1e-4, and has no gradient
  where it clips: AdaFace's repository (head.py), which clips the other classes' cosines too. That
  differs within 0.8 degrees of another class's weight alone, and is left out.
"""

import math

from ..loss import Loss, Range, Training
from ..shared.cosine_declarations import metric_learning, sampled, variant

_PAPER = "Deng, Guo, Xue, Zafeiriou 2019 (ArcFace)"
_TURNED = r"\cos(\theta_{y_i,i} + m)"
_PEER = metric_learning(
    "peers:arcface",
    "ArcFaceLoss, with the margin in degrees; by acos, whose derivative is infinite at theta = 0 "
    "and pi",
)


def _target_of_cosine(cosine: float, margin: float, rule: str) -> float:
    """By the angle, as the paper writes it."""
    theta = math.acos(cosine)
    if rule == "guarded" and theta > math.pi - margin:
        return cosine - margin * math.sin(margin)
    if rule == "easy" and cosine <= 0:
        return cosine
    if rule == "clipped":
        theta = math.acos(max(-1 + 1e-4, min(1 - 1e-4, cosine)))
        return math.cos(max(1e-4, min(math.pi - 1e-4, theta + margin)))
    return math.cos(theta + margin)


def _variant(rule: str, summary: str, source: str, target: str = _TURNED, **declared):
    return variant(
        rule,
        "arcface",
        summary=summary,
        target=target,
        target_of_cosine=_target_of_cosine,
        source=source,
        options={"scale": 64.0, "margin": 0.5, "rule": rule},
        **declared,
    )


_TRUE = _variant(
    "true",
    "the margin 0.5 on the target's angle, at all angles",
    f"{_PAPER}, equation 3; s = 64 and m = 0.5: section 3.1",
)

LOSS = Loss(
    name="arcface",
    title="ArcFace (additive angular margin)",
    source=f"{_PAPER}, equation 3",
    training=Training(
        variant="true",
        search={"margin": Range(0.05, 0.6), "scale": Range(8.0, 64.0, log=True)},
    ),
    public={"ArcFaceLoss": "modules:ArcFaceLoss", "functional.arcface": "functional:arcface"},
    variants=(
        _TRUE,
        _variant(
            "guarded",
            "past pi - m the logit goes on falling, as cos theta - m sin m",
            "CurricularFace head/metrics.py; pytorch-metric-learning 2.9.0 arcface_loss.py",
            r"f(\theta_{y_i,i}), \quad f(\theta) = \cos(\theta + m) \text{ or, past } \pi - m,\ "
            r"\cos\theta - m \sin m",
            peers=(_PEER,),
            sweep=False,
        ),
        _variant(
            "detached",
            "the value of the first, the slope of the plain cosine",
            "insightface arcface_torch/losses.py, class ArcFace",
            surrogate_gradient="cos(theta + m) - cos theta counts as a constant",
            sweep=False,
        ),
        _variant(
            "easy",
            "the margin below a right angle alone",
            f"{_PAPER}: the easy_margin of its release",
            r"f(\theta_{y_i,i}), \quad f(\theta) = \cos(\theta + m) \text{ or, from } \pi/2,\ "
            r"\cos\theta",
            sweep=False,
        ),
        _variant(
            "clipped",
            "cosine and angle clipped next to 0 and pi, without a gradient there",
            "AdaFace head.py, class ArcFace",
            r"\cos \operatorname{clip}(\theta_{y_i,i} + m)",
            sweep=False,
        ),
        sampled(_TRUE),
        sampled(_TRUE, corrected=True),
    ),
)
