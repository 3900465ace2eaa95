"""What a head over cosines costs with random class weights: by Bessel functions in 30 digits, by
drawing, and of every variant that declares its target's logit at a cosine."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from statistics import fmean

import mpmath
import pytest
import torch

from marginbench import catalogue
from marginbench.first_loss import FirstLoss, first_loss, log_mean_exp
from marginbench.inputs import random_inputs
from marginbench.loss import Loss, Shape, Variant

# So many classes in so many dimensions that no few of them make up the sum, at a scale of 64.
SHAPE = Shape(128, 1024, 2000)
DECLARED = [
    pytest.param(loss, variant, id=f"{loss.name}/{variant.name}")
    for loss in catalogue.losses()
    for variant in loss.variants
    if variant.target_of_cosine is not None
]


@pytest.mark.parametrize(
    ("dim", "scale"), [(2, 30.0), (3, 5.0), (128, 64.0), (512, 64.0), (1024, 0.5), (4096, 1e3)]
)
def test_the_mean_is_the_bessel_function(dim: int, scale: float):
    with mpmath.workdps(30):
        half, s = mpmath.mpf(dim) / 2, mpmath.mpf(scale)
        exact = mpmath.log(mpmath.gamma(half) * (2 / s) ** (half - 1) * mpmath.besseli(half - 1, s))
    assert log_mean_exp(scale, dim) == pytest.approx(float(exact), rel=1e-12)


def test_a_target_without_a_choice_is_exact():
    """In three dimensions cosines are even: E e^(s c) = sinh(s) / s, and E c^2 = 1 / 3."""
    assert log_mean_exp(2.0, 3) == pytest.approx(math.log(math.sinh(2.0) / 2.0), rel=1e-14)
    far = first_loss(lambda c: -1000.0 * c**2, classes=10**9, dim=3, scale=1.0)
    others = math.log(10**9 - 1) + log_mean_exp(1.0, 3)
    assert far.value == pytest.approx(others + 1000 / 3, rel=1e-6)
    assert far.deviation == pytest.approx(1000 * math.sqrt(1 / 5 - 1 / 9), rel=1e-5)


def test_a_sampled_share_counts_as_so_many_classes():
    settings = {"dim": 512, "scale": 64.0}
    whole = first_loss(lambda c: c - 0.4, classes=1000, **settings)
    sampled = first_loss(lambda c: c - 0.4, classes=10_000, rate=0.1, **settings)
    assert sampled == whole


def test_public_logs_begin_where_their_settings_say():
    """insightface's arcface_torch, CosFace 0.4 over 2,059,906 identities in 512 dimensions: what
    was sampled at 0.2 was logged as 42.48 to 42.52 at steps 20 to 50."""
    sampled, other = (
        first_loss(lambda c: c - 0.4, classes=2_059_906, dim=512, scale=64.0, rate=rate)
        for rate in (0.2, 0.3)
    )
    assert abs(sampled.value - 42.49) < sampled.tolerance(8192)
    assert abs(other.value - 42.49) > other.tolerance(8192)


@pytest.mark.parametrize(("loss", "variant"), DECLARED)
def test_a_head_begins_where_its_declaration_says(loss: Loss, variant: Variant, seed: int):
    inputs = random_inputs(variant, SHAPE, "float32", "cpu", seed)
    generator = torch.Generator().manual_seed(seed)
    # As modules draw them: random directions.
    weights = torch.randn(SHAPE.classes, SHAPE.dim, generator=generator)
    tensors = {**inputs.tensors, "class_weights": weights}
    options = dict(variant.options)
    function = loss.resolve(variant.contender("eager").entry)
    with torch.no_grad():
        value = float(function(**tensors, **options))
    learnt = tensors.get("scale", torch.ones(())).detach()
    scale = float(options.pop("scale", learnt))
    corrected = options.pop("corrected", False)
    rate = len(tensors.get("sampled", weights)) / SHAPE.classes
    if variant.drawn_margins is not None:
        margins_B = tensors["margins"]
        options["margin"], options["deviation"] = float(margins_B.mean()), float(margins_B.std())
    kept = (one.name for one in variant.fields if one.kind == "state" and one.name != "scale")
    options |= {name: float(tensors[name]) for name in kept}
    if variant.added_at_length is None:
        targets, added = [lambda cosine: variant.target_of_cosine(cosine, **options)], 0.0
    else:
        lengths = tensors["embeddings"].detach().norm(dim=1).tolist()
        own = [{"length": length, **options} for length in lengths]
        targets = [functools.partial(variant.target_of_cosine, **one) for one in own]
        added = fmean(variant.added_at_length(**one) for one in own)

    def begins(rate: float) -> FirstLoss:
        settings = {"classes": SHAPE.classes, "dim": SHAPE.dim, "scale": scale, "rate": rate}
        found = [first_loss(target, **settings) for target in targets]
        return replace(found[0], value=fmean(one.value for one in found) + added)

    # Corrected it is the loss of all classes, from as few random ones as are sampled.
    expected = begins(1.0) if corrected else begins(rate)
    tolerance = begins(rate).tolerance(SHAPE.batch)
    assert abs(value - expected.value) <= tolerance
    assert tolerance < 0.1 * scale  # a margin off by 0.1 is seen
