"""Combined margin: cos(m1 theta + m2) - m3 on the target, all three margins at once.

ArcFace's paper writes it as one equation over SphereFace (m1), ArcFace (m2) and CosFace (m3). That
it is number 4 is by notes that others keep of the paper, which was not read again. insightface's
mxnet training computes it (recognition/arcface_mxnet/train.py, `margin_softmax`, at 7fadd420), with
(1, 0.3, 0.2) at s = 64 as its configuration `combined`. So do Paddle's margin_cross_entropy and
OneFlow's CombinedMarginLoss. None has a guard past pi, and all have the true gradient.

The `CombinedMarginLoss` of insightface's arcface_torch (losses.py) combines nothing: with m3 > 0 it
is cos theta - m3 and takes no notice of m1 and m2; with m1 = 1 and m3 = 0 it is ArcFace with the
slope of the plain cosine; for anything else it raises. Its (1, 0, 0.4) is `CosFaceLoss` with a
margin of 0.4, its (1, 0.5, 0) `ArcFaceLoss` with the rule ``detached``.

Where m1 theta + m2 passes pi, the target's logit rises with the angle: as far from its class weight
as that, a row is pushed further away. A warning says from which angle on.
"""

import math

from ..loss import Loss, Range, Training
from ..shared.cosine_declarations import variant

_PAPER = "Deng, Guo, Xue, Zafeiriou 2019 (ArcFace)"


def _target_of_cosine(cosine: float, m1: float, m2: float, m3: float) -> float:
    """By the angle, as the paper writes it."""
    return math.cos(m1 * math.acos(cosine) + m2) - m3


def _variant(name: str, summary: str, source: str, m1: float, m2: float, m3: float, **declared):
    return variant(
        name,
        "combined_margin",
        summary=summary,
        target=r"(\cos(m_1 \theta_{y_i,i} + m_2) - m_3)",
        target_of_cosine=_target_of_cosine,
        source=source,
        options={"scale": 64.0, "m1": m1, "m2": m2, "m3": m3},
        **declared,
    )


LOSS = Loss(
    name="combined",
    title="Combined margin (on the angle, times and plus, and on the cosine)",
    source=f"{_PAPER}, equation 4",
    training=Training(
        variant="margins",
        search={
            "m1": Range(0.9, 1.3),
            "m2": Range(0.05, 0.5),
            "m3": Range(0.05, 0.3),
            "scale": Range(8.0, 64.0, log=True),
        },
    ),
    public={
        "CombinedMarginLoss": "modules:CombinedMarginLoss",
        "functional.combined_margin": "functional:combined_margin",
    },
    variants=(
        _variant(
            "margins",
            "0.3 on the target's angle and 0.2 off its cosine, times 64",
            f"{_PAPER}, equation 4; (1, 0.3, 0.2) and s = 64: insightface arcface_mxnet, "
            "sample_config.py, `combined`",
            1.0,
            0.3,
            0.2,
        ),
        _variant(
            "multiplied",
            "all three margins, with the angle times 1.2",
            f"{_PAPER}, equation 4; the numbers are an example",
            1.2,
            0.2,
            0.1,
            sweep=False,
        ),
    ),
)
