"""ElasticFace: ArcFace or CosFace with a margin that is drawn anew for every row.

The drawn margins are an argument: the loss of given tensors is always the same. The module draws
them, from a normal distribution.

- ``arc`` has them on the angle, ``cos`` off the cosine.
- ``sorted`` (ElasticFace-Arc+) shares the same margins out on the angle: the larger the target's
  cosine, the smaller the margin. Which row has which counts as a constant.

0.5 and 0.05 are trained with for ``arc``, 0.35 and 0.05 for ``cos``, 0.5 and 0.0175 for ``sorted``
(its repository, config/config.py at 5496ec0); 0.0125 is the default of its classes
(utils/losses.py). Cases draw the margins of ``arc`` for all three. Nothing is clipped. That the
paper's equations have the numbers 6 and 7 is unverified: no text of them could be read.

Its repository's code for the sorted form, which other code copies, sorts cosines falling and
margins rising, and gives row i the margin in the place that the i-th sorted cosine came from, not
in the place that row i came to: the same for at most two rows, and another assignment for more.
``sorted`` here is what the two sorts say. There is an ElasticFace-Cos+ too, which is none of these.

What it costs before it has learnt anything is, to first order, ArcFace's or CosFace's at the mean
margin: of margins m with a standard deviation of d, cos(theta + m) is expected to be exp(-d^2 / 2)
times that at their mean.
"""

import math
from dataclasses import replace

from ..fields import Field
from ..loss import Loss, Range, Training
from ..shared.cosine_declarations import variant

_PAPER = "Boutros, Damer, Kirchbuchner, Kuijper 2022 (ElasticFace)"
_DRAWN = Field(
    "margins", ("B",), "of each row, drawn anew for each step",
    draw=lambda make: 0.5 + 0.05 * make.normal(),
)  # fmt: skip


def _target_of_cosine(cosine: float, *, margin: float, deviation: float, rule: str) -> float:
    """Expected of a margin that is drawn from a normal distribution, to first order in the
    cosine: that ``sorted`` goes by the cosine is left out."""
    if rule == "cos":
        return cosine - margin
    return math.exp(-(deviation**2) / 2) * math.cos(math.acos(cosine) + margin)


def _variant(
    rule: str, summary: str, target: str, equation: int, drawn: tuple[float, float], **declared
):
    found = variant(
        rule,
        "elasticface",
        summary=summary,
        target=target,
        source=f"{_PAPER}, equation {equation}",
        options={"scale": 64.0, "rule": rule},
        inputs=(_DRAWN,),
        target_of_cosine=_target_of_cosine,
        drawn_margins=drawn,
        **declared,
    )
    if rule != "sorted":
        return found
    # Equal cosines have their margins in the order of the rows, so that it matters.
    kept = tuple(one for one in found.invariants if not one.entry.endswith(":permutation"))
    return replace(found, invariants=kept)


LOSS = Loss(
    name="elasticface",
    title="ElasticFace (a drawn margin for each row)",
    source=f"{_PAPER}, equations 6 and 7",
    training=Training(variant="arc", search={"scale": Range(8.0, 64.0, log=True)}),
    public={
        "ElasticFaceLoss": "modules:ElasticFaceLoss",
        "functional.elasticface": "functional:elasticface",
    },
    variants=(
        _variant("arc", "a margin of each row on the target's angle",
                 r"\cos(\theta_{y_i,i} + m_i)", 6, (0.5, 0.05)),
        _variant("cos", "a margin of each row off the target's cosine",
                 r"(\cos\theta_{y_i,i} - m_i)", 7, (0.35, 0.05), sweep=False),
        _variant("sorted",
                 "the margins of the batch on the angle, the smallest where the cosine is largest",
                 r"\cos(\theta_{y_i,i} + m_{\sigma(i)})", 6, (0.5, 0.0175), sweep=False),
    ),
)  # fmt: skip
