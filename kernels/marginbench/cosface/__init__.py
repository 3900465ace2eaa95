"""CosFace (large margin cosine loss, AM-softmax): a margin taken off the target's cosine.

The paper trains with m = 0.35 and s = 64; so do opensphere (model/head/cosface.py), and
pytorch-metric-learning. insightface's arcface_torch has m = 0.40 (losses.py, `CosFace`), and 35 of
its configurations train with that through its combined loss; AdaFace's repository has 0.40 as well.
The slope of the target's logit is 1: with the margin detached or not, the gradient is the same.

``sampled`` is Partial FC, which insightface trains CosFace with: arcface_torch/partial_fc_v2.py.
"""

from ..loss import Loss, Range, Training
from ..shared.cosine_declarations import metric_learning, sampled, variant

_PAPER = "Wang, Wang, Zhou, Ji, Gong, Zhou, Li, Liu 2018 (CosFace)"

_MARGIN = variant(
    "margin",
    "cosface",
    summary="the margin 0.35 off the target's cosine, times 64",
    target_of_cosine=lambda cosine, margin: cosine - margin,
    target=r"(\cos\theta_{y_i,i} - m)",
    source=f"{_PAPER}, equation 4; s = 64 and m = 0.35: section 4.1 and 4.2",
    options={"scale": 64.0, "margin": 0.35},
    peers=(metric_learning("peers:cosface", "CosFaceLoss; it has no learnt scale"),),
)

LOSS = Loss(
    name="cosface",
    title="CosFace (large margin cosine loss)",
    source=f"{_PAPER}, equation 4",
    training=Training(
        variant="margin",
        # The paper's sweep is from 0 to 0.45; above it did not converge.
        search={"margin": Range(0.05, 0.45), "scale": Range(8.0, 64.0, log=True)},
    ),
    public={"CosFaceLoss": "modules:CosFaceLoss", "functional.cosface": "functional:cosface"},
    variants=(
        _MARGIN,
        sampled(_MARGIN),
        sampled(_MARGIN, corrected=True),
    ),
)
