"""NormFace (normalised softmax): softmax over scaled cosines, with the scale fixed or learnt.

The paper learns the scale, and bounds the loss from below by it; its release starts it at 10
(happynear/NormFace 2a1112a6, prototxt/scaled_cosine_softmax.prototxt). opensphere fixes it at 30;
pytorch-metric-learning's NormalizedSoftmaxLoss has a temperature, 0.05 by default: s = 20.
"""

from ..fields import Field
from ..loss import Loss, Range, Training
from ..shared.cosine_declarations import metric_learning, variant

_PAPER = "Wang, Xiang, Cheng, Yuille 2017 (NormFace)"
_SCALE = Field(
    "scale", (), "of the cosines; learnt", kind="state",
    draw=lambda make: 8 + 4 * make.uniform(), train=lambda make: make.full(10),
)  # fmt: skip

LOSS = Loss(
    name="normface",
    title="NormFace (normalised softmax)",
    source=f"{_PAPER}, equation 5",
    training=Training(variant="fixed", search={"scale": Range(8.0, 64.0, log=True)}),
    public={"NormFaceLoss": "modules:NormFaceLoss", "functional.normface": "functional:normface"},
    variants=(
        variant(
            "fixed",
            "normface",
            summary="30 times the cosines",
            target_of_cosine=lambda cosine: cosine,
            target=r"\cos\theta_{y_i,i}",
            source=f"{_PAPER}, equation 5; s = 30: opensphere, config/papers/SphereFace2/sec31",
            options={"scale": 30.0},
            peers=(
                metric_learning("peers:normface", "NormalizedSoftmaxLoss of temperature 1 / s"),
            ),
        ),
        variant(
            "learnt",
            "normface",
            summary="the scale is an argument with a gradient",
            target_of_cosine=lambda cosine: cosine,
            target=r"\cos\theta_{y_i,i}",
            source=f"{_PAPER}, equation 5",
            options={},
            learnt_scale=_SCALE,
            sweep=False,
        ),
    ),
)
