"""ElasticFace beside ArcFace and CosFace of the same margins; its order; what it does not take."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from head_cases import RAGGED, draw

from marginbench import ElasticFaceLoss, catalogue
from marginbench.arcface import eager as arcface
from marginbench.checks import InputError
from marginbench.cosface import eager as cosface
from marginbench.elasticface import arguments, eager, fused, reference, tiled
from marginbench.functional import elasticface

LOSS = catalogue.get("elasticface")
FORMS = (reference, eager, tiled, fused)
every_form = pytest.mark.parametrize("module", FORMS)


@pytest.mark.parametrize("rule", arguments.RULES)
@every_form
def test_each_row_has_its_own_margin(module, rule: str, seed: int):
    """Row by row what ArcFace or CosFace gives with that row's margin."""
    dtype = "float32" if module is fused else "float64"
    tensors = draw(LOSS.variants[0], RAGGED, dtype, seed).tensors
    margins = tensors.pop("margins").detach()
    options = {"scale": 8.0, "reduction": "none"}
    got = module.elasticface(**tensors, margins=margins, rule=rule, **options)
    if rule == "sorted":
        x, w = (
            torch.nn.functional.normalize(tensors[k].double())
            for k in ("embeddings", "class_weights")
        )
        cosines = (x * w[tensors["labels"]]).sum(dim=1).tolist()
        falling = sorted(range(len(cosines)), key=lambda i: -cosines[i])
        own = dict(zip(falling, sorted(margins.tolist()), strict=True))
        margins = [own[i] for i in range(len(cosines))]
    of = cosface.cosface if rule == "cos" else arcface.arcface
    wide = {k: t.double() if t.is_floating_point() else t for k, t in tensors.items()}
    for i, margin in enumerate(map(float, margins)):
        row = {**wide, "embeddings": wide["embeddings"][[i]], "labels": wide["labels"][[i]]}
        want = of(**row, margin=margin, **options)
        close = 1e-5 if module is fused else 1e-12
        torch.testing.assert_close(got[[i]].double(), want, rtol=close, atol=close)


@every_form
def test_equal_cosines_have_their_margins_in_the_order_of_the_rows(module):
    x_BD = torch.tensor([[2.0, 0.0], [0.0, 3.0], [2.0, 0.0], [4.0, 0.0]])
    labels, w_CD = torch.zeros(4, dtype=torch.int64), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    x_BD, w_CD = (x_BD, w_CD) if module is fused else (x_BD.double(), w_CD.double())
    margins = torch.tensor([0.4, 0.1, 0.3, 0.2])
    got, want = (
        module.elasticface(
            x_BD, labels, w_CD, given, scale=1.0, rule=rule, reduction="none",
        )
        for given, rule in ((margins, "sorted"), (torch.tensor([0.1, 0.2, 0.3, 0.4]), "arc"))
    )  # fmt: skip
    torch.testing.assert_close(got, want, rtol=0, atol=0)


def test_the_module_draws_in_training_alone():
    torch.manual_seed(0)
    loss = ElasticFaceLoss(4, 5, scale=2.0, margin=0.3, deviation=0.1, reduction="none")
    x_BD, labels = torch.randn(6, 4), torch.arange(6) % 5
    torch.manual_seed(7)
    first, second = loss(x_BD, labels), loss(x_BD, labels)
    torch.manual_seed(7)
    assert torch.equal(loss(x_BD, labels), first) and not torch.equal(first, second)
    loss.eval()
    plain = arcface.arcface(
        x_BD, labels, loss.class_weights, scale=2.0, margin=0.3, reduction="none"
    )
    torch.testing.assert_close(loss(x_BD, labels), plain)


@pytest.mark.parametrize("rule", arguments.RULES)
def test_smoothing_has_each_rows_margin(rule: str, seed: int):
    """With all of the target's probability given away a row's loss is its mean over the classes."""
    tensors = draw(LOSS.variants[0], RAGGED, "float64", seed).tensors
    options = {"scale": 4.0, "rule": rule, "reduction": "none", "implementation": "eager"}
    whole, none = (elasticface(**tensors, label_smoothing=share, **options) for share in (1.0, 0.0))
    half = elasticface(**tensors, label_smoothing=0.5, **options)
    torch.testing.assert_close(half, (whole + none) / 2, rtol=1e-12, atol=1e-12)
    own_B = arguments.assigned(
        tensors["margins"], *(tensors[k] for k in ("embeddings", "labels", "class_weights")), rule
    )
    x, w = (torch.nn.functional.normalize(tensors[k]) for k in ("embeddings", "class_weights"))
    cosine_BC = x @ w.T
    target_B = cosine_BC.gather(1, tensors["labels"][:, None])[:, 0]
    turned_B = target_B - own_B if rule == "cos" else (target_B.acos() + own_B).cos()
    logits_BC = 4 * cosine_BC.scatter(1, tensors["labels"][:, None], turned_B[:, None])
    want = torch.nn.functional.cross_entropy(
        logits_BC, tensors["labels"], label_smoothing=1.0, reduction="none"
    )
    torch.testing.assert_close(whole, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("margins", "said"),
    [
        ([0.1, 0.2], "margins: expected a tensor; got list"),
        (torch.zeros(3), "margins: expected 2 floating-point numbers, one a row of embeddings"),
        (torch.zeros(2, dtype=torch.int64), "margins: expected 2 floating-point numbers"),
        (torch.tensor([0.5, math.nan]), "margins: expected finite"),
    ],
)
def test_margins_that_are_none(margins, said: str):
    x_BD, w_CD = torch.ones(2, 3), torch.ones(4, 3)
    with pytest.raises(InputError, match=said):
        elasticface(x_BD, torch.tensor([0, 1]), w_CD, margins)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"margin": -0.1}, "margin"), ({"deviation": math.inf}, "deviation"), ({"rule": "a"}, "rule")],
)  # fmt: skip
def test_options_that_are_none(options: dict, named: str):
    with pytest.raises(InputError, match=named):
        ElasticFaceLoss(3, 4, **options)


@pytest.mark.parametrize("rule", ["arc", "cos"])
def test_the_target_that_is_declared_is_the_mean_over_drawn_margins(rule: str):
    cosine, normal = -0.3, statistics.NormalDist(0.5, 0.3)
    margins = [normal.inv_cdf((i + 0.5) / 1000) for i in range(1000)]
    drawn = [cosine - m if rule == "cos" else math.cos(math.acos(cosine) + m) for m in margins]
    declared = LOSS.variant(rule).target_of_cosine
    found = declared(cosine, margin=0.5, deviation=0.3, rule=rule)
    assert found == pytest.approx(statistics.fmean(drawn), abs=2e-4)
