"""ElasticFace: ArcFace or CosFace with a margin that is drawn anew for every row.

The drawn margins are an argument: the loss of given tensors is always the same. The module draws
them, from a normal distribution.

- ``arc`` has them on the angle, ``cos`` off the cosine.
- ``sorted`` (ElasticFace-Arc+) shares the same margins out on the angle: the larger the target's
  cosine, the smaller the margin. Which row has which counts as a constant.

0.5 and 0.05 are the paper's for ``arc``, 0.35 and 0.05 for ``cos``, 0.5 and 0.0175 for ``sorted``;
0.0125 is the default of its classes (utils/losses.py at 5496ec0; read at 58e274d, which has no
sorted form). Cases draw the margins of ``arc`` for all three. Nothing is clipped. The numbers of
equations 6 and 7 were not looked up again.

Public copies of the sorted form sort cosines falling and margins rising, and give row i the margin
in the place that the i-th sorted cosine came from, not in the place that row i came to: the same
for at most two rows, and another assignment for more. ``sorted`` here is what their two sorts say.
"""

from dataclasses import replace

from ..fields import Field
from ..loss import Loss, Range, Training
from ..shared.cosine_declarations import variant

_PAPER = "Boutros, Damer, Kirchbuchner, Kuijper 2022 (ElasticFace)"
_DRAWN = Field(
    "margins", ("B",), "of each row, drawn anew for each step",
    draw=lambda make: 0.5 + 0.05 * make.normal(),
)  # fmt: skip


def _variant(rule: str, summary: str, target: str, equation: int, **declared):
    found = variant(
        rule,
        "elasticface",
        summary=summary,
        target=target,
        source=f"{_PAPER}, equation {equation}",
        options={"scale": 64.0, "rule": rule},
        inputs=(_DRAWN,),
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
                 r"\cos(\theta_{y_i,i} + m_i)", 6),
        _variant("cos", "a margin of each row off the target's cosine",
                 r"(\cos\theta_{y_i,i} - m_i)", 7, sweep=False),
        _variant("sorted",
                 "the margins of the batch on the angle, the smallest where the cosine is largest",
                 r"\cos(\theta_{y_i,i} + m_{\sigma(i)})", 6, sweep=False),
    ),
)  # fmt: skip
