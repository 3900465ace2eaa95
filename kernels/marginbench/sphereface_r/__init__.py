"""SphereFace-R: SphereFace's multiplied angle, held at pi in place of the steps of its psi.

The target's logit is s cos(min(m theta, pi)) for any m from 1 on, over embeddings of length s.
What is here is the repository's first new way to multiply (opensphere, branch OpenSphere_v0,
model/head/spherefacer.py, `magn_type` v1, class SphereFaceR_H, s = 30 and m = 1.5; the paper's own
equations were not seen). Its v0, what the class does by default, is A-Softmax's psi for any m; its
v2, what the branch's only recipe trains (s = 60 and m = 1.4), leaves the target alone and divides
the other classes' angles by m.

- ``true`` has the derivative of its value.
- ``detached`` has the slope of cos theta: the paper's "characteristic gradient detachment", which
  the repository always has (get_d_theta, under no_grad).

Left out: the repository multiplies its cross-entropy by a weight over s (50 / 30), which is one
with the learning rate and the weight decay, and its later SphereFace (branch main) has no such
factor; it clips cos theta to 1 - 1e-5 in magnitude before the arc cosine, which moves the target's
logit by at most 1e-5 m^2 s; and it writes normalised class weights back before each step.
"""

import math

from ..loss import Loss, Range, Training
from ..shared.cosine_declarations import variant

_PAPER = "Liu, Wen, Raj, Singh, Weller 2022 (SphereFace Revived)"
_SOURCE = f"{_PAPER}; s = 30 and m = 1.5: opensphere OpenSphere_v0, model/head/spherefacer.py, v1"


def _target_of_cosine(cosine: float, m: float, rule: str) -> float:
    return math.cos(min(m * math.acos(cosine), math.pi))


def _variant(rule: str, summary: str, **declared):
    return variant(
        rule,
        "sphereface_r",
        summary=summary,
        target=r"\cos(\min(m \theta_{y_i,i}, \pi))",
        target_of_cosine=_target_of_cosine,
        source=_SOURCE,
        options={"scale": 30.0, "m": 1.5, "rule": rule},
        **declared,
    )


LOSS = Loss(
    name="sphereface-r",
    title="SphereFace-R (multiplied angle, held at pi)",
    source=_PAPER,
    training=Training(
        variant="detached",
        source=f"{_SOURCE}, which detaches the margin",
        search={"m": Range(1.1, 2.0), "scale": Range(8.0, 64.0, log=True)},
    ),
    public={
        "SphereFaceRLoss": "modules:SphereFaceRLoss",
        "functional.sphereface_r": "functional:sphereface_r",
    },
    variants=(
        _variant("true", "1.5 times the target's angle, up to pi, with the derivative of that"),
        _variant(
            "detached",
            "the value of the first, the slope of the plain cosine",
            surrogate_gradient="cos(min(m theta, pi)) - cos theta counts as a constant",
            sweep=False,
        ),
    ),
)
