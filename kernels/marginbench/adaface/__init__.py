"""AdaFace: a margin on the angle and off the cosine, shared out by the embedding's length.

With a = clip(||x||, 0.001, 100) and k = clip(h (a - mu) / (sigma + 0.001), -1, 1), the target is
cos(theta - m k) - (m + m k): ArcFace at k = -1, CosFace at k = 0. k has no gradient. mu and sigma
are the running mean and standard deviation (unbiased) of the lengths; they start at 20 and 100.
At a right angle the two margins come to -m whatever k is, but for (m k)^3 / 6: a first loss hardly
goes by the lengths.

- ``true`` keeps theta - m k within 0.001 of 0 and pi, without a gradient where it clips.
- ``detached`` has no such clip, and the slope of cos theta: CVLface (losses/adaface.py:52-61 at
  d3d09c93, under no_grad).

Read in the sources: head.py:44-120 of mk-minchul/AdaFace at c60eaa78, with its README.md and
scripts/run_ir50_ms1mv2.sh (m = 0.4, h = 0.333), and CVLface's losses/adaface.py, its configs and
classifiers/fc/fc.py. The paper's equations were not looked up again, and neither repository was
run. What differs:

- head.py clips the cosines of all classes to 0.999 first: no gradient within 2.6 degrees of the
  target's class weight or its opposite. That is left out here.
- There a batch moves mu and sigma before it is used. The module does so; in a training of the
  suite the states follow after the step. The share of a batch is 0.01 in config.py, in the README
  and in CVLface, and 1 as the default of the class.
- config.py has m = 0.5 and h = 0 for defaults, which its scripts override.
- A batch of one row has no unbiased deviation: theirs is NaN from then on, here it is an error.
- Theirs are new tensors in the place of the buffers; of several processes each has its own lengths
  in head.py, and all of them in CVLface's partial_fc.py. Here all count.
"""

import math
from dataclasses import replace
from typing import Any

from ..fields import Field
from ..loss import Cost, Invariant, Loss, Range, Shape, Training, Variant, standard_contenders
from ..shared.cosine_declarations import variant

_PAPER = "Kim, Jain, Liu 2022 (AdaFace)"
_LENGTH = r"a_i = \operatorname{clip}(\|x_i\|, 10^{-3}, 100)"
# Cases have lengths of about 0.2 to 1.2; a training's states start as the repository's.
_MEAN = Field(
    "mean", (), "of the embeddings' lengths, over past steps", kind="state",
    draw=lambda make: 0.3 + 0.7 * make.uniform(), train=lambda make: make.full(20),
)  # fmt: skip
_STD = Field(
    "std", (), "the standard deviation of the embeddings' lengths, over past steps", kind="state",
    draw=lambda make: 0.1 + 0.2 * make.uniform(), train=lambda make: make.full(100),
)  # fmt: skip


def _target_of_cosine(
    cosine: float, *, length: float, margin: float, h: float, rule: str, mean: float = 20.0,
    std: float = 100.0,
) -> float:  # fmt: skip
    quality = h * (max(1e-3, min(100.0, length)) - mean) / (std + 1e-3)
    own = margin * max(-1.0, min(1.0, quality))
    angle = math.acos(cosine) - own
    if rule == "true":
        angle = max(1e-3, min(math.pi - 1e-3, angle))
    return math.cos(angle) - (margin + own)


def _variant(rule: str, summary: str, source: str, target: str, surrogate: str, **declared: Any):
    made = variant(
        rule,
        "adaface",
        summary=summary,
        target=rf"({target} - m - m k_i)",
        added=r", \quad k_i = \operatorname{clip}\left(h \frac{a_i - \mu}{\sigma + \epsilon}, -1,"
        rf" 1\right), \quad {_LENGTH}",
        target_of_cosine=_target_of_cosine,
        added_at_length=lambda length, **_: 0.0,
        source=source,
        options={"scale": 64.0, "margin": 0.4, "h": 0.333, "rule": rule},
        inputs=(_MEAN, _STD),
        surrogate_gradient=surrogate,
        **declared,
    )
    across = Invariant(
        "the gradient of an embedding is orthogonal to it",
        ".shared.invariants:orthogonal_embedding_gradient",
    )
    return replace(made, invariants=(*made.invariants, across))


def _update(field: Field, summary: str, symbol: str, of_batch: str) -> Variant:
    def cost(shape: Shape, itemsize: int) -> Cost:
        rows = shape.batch * shape.dim
        return Cost(rows * itemsize, 0, 2 * rows, 0)

    return Variant(
        name=field.name,
        summary=summary,
        equation=rf"{symbol} \leftarrow (1 - \alpha) {symbol} + \alpha {of_batch}, \quad {_LENGTH}",
        source="mk-minchul/AdaFace, head.py:83-91",
        family="rows",
        fields=(field,),
        arguments=lambda batch: {
            "embeddings": batch.embeddings,
            field.name: getattr(batch, field.name),
        },
        options={"t_alpha": 0.01},
        output="tensor",
        reductions=("mean",),
        contenders=standard_contenders(f"moved_{field.name}", compiled=False, fused=False),
        excused={"compiled": "a pass over the embeddings, and a few numbers"},
        cost=cost,
        reference_elements=lambda shape: shape.batch * shape.dim,
        sweep=False,
    )


LOSS = Loss(
    name="adaface",
    title="AdaFace (margins by the embedding's length among all lengths)",
    source=f"{_PAPER}; its repository, head.py",
    training=Training(
        variant="true",
        updates={"mean": "mean", "std": "std"},
        source="mk-minchul/AdaFace, head.py:83-91",
        search={
            "margin": Range(0.1, 0.6),
            "h": Range(0.1, 1.0),
            "t_alpha": Range(0.003, 1.0, log=True),
            "scale": Range(8.0, 64.0, log=True),
        },
    ),
    public={"AdaFaceLoss": "modules:AdaFaceLoss", "functional.adaface": "functional:adaface"},
    variants=(
        _variant(
            "true",
            "the margin 0.4, on the angle of short embeddings and off the cosine of longer ones",
            f"{_PAPER}; its repository, head.py, and README.md for the numbers",
            r"\cos \operatorname{clip}(\theta_{y_i,i} - m k_i)",
            "the length counts as a constant in the margin",
        ),
        _variant(
            "detached",
            "no clip of the angle, and the slope of the plain cosine",
            "CVLface losses/adaface.py",
            r"\cos(\theta_{y_i,i} - m k_i)",
            "the margin counts as a constant",
            sweep=False,
        ),
        _update(_MEAN, "the mean of the lengths over past steps", r"\mu",
                r"\frac{1}{B} \sum_i a_i"),
        _update(_STD, "the unbiased standard deviation of the lengths over past steps", r"\sigma",
                r"\sqrt{\frac{1}{B - 1} \sum_i (a_i - \bar a)^2}"),
    ),
)  # fmt: skip
