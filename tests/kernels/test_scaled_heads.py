"""Heads over scaled cosines: what they may be off by goes by their scale."""

from __future__ import annotations

import pytest
import test_contract
import torch
from head_cases import RAGGED, SHAPES, VARIANTS, check_eager, draw, replaced
from planted_heads import exact, of_cosines, planted

from marginbench.fields import Shape
from marginbench.shared.invariants import orthogonal_weight_gradient, permutation, scaled_logit

OPTIONS = {"scale": 64.0}
SCALED = planted(exact(of_cosines), of_cosines, options=OPTIONS)


def _slightly_larger(*tensors, scale, **options):
    return of_cosines(*tensors, scale=scale * (1 + 1e-3), **options)


def _by_keyword(embeddings, labels, class_weights, **options):
    return _slightly_larger(embeddings, labels, class_weights, **options)


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_heads_without_a_scale_keep_their_bounds(loss, variant, seed: int):
    if "scale" in variant.options or "scale" in variant.differentiable:
        pytest.skip("has a scale")
    assert scaled_logit(draw(variant, RAGGED, "float32", seed), variant.options) is None


def test_it_is_the_scale_over_the_shortest_row(seed: int):
    inputs = draw(SCALED[1], RAGGED, "float32", seed)
    x, w = inputs.tensors["embeddings"], inputs.tensors["class_weights"]
    long = replaced(inputs, embeddings=x / x.norm(dim=1).min() * 1.01, class_weights=1e3 * w)
    assert scaled_logit(long, OPTIONS) == 64
    short = long.tensors["embeddings"].detach().clone()
    short[0] /= 4 * short[0].norm()
    short[1] = 0  # has no direction
    assert scaled_logit(replaced(long, embeddings=short), OPTIONS) == pytest.approx(256, rel=1e-6)
    learnt = replaced(long, scale=torch.tensor(32.0))
    assert scaled_logit(learnt, {}) == 32


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_right_head_is_within_its_bound(shape: Shape, seed: int):
    for dtype in ("float64", "float32"):
        check_eager(*SCALED, draw(SCALED[1], shape, dtype, seed), seed)


def test_the_contract_holds_of_it(seed: int):
    test_contract.test_agrees_with_its_reference(*SCALED, seed)
    inputs = draw(SCALED[1], RAGGED, "float32", seed)
    for check in (permutation, orthogonal_weight_gradient):
        check(of_cosines, inputs, OPTIONS)


def test_a_head_with_another_scale_is_not(seed: int):
    wrong = planted(exact(of_cosines), _by_keyword, options=OPTIONS)
    with pytest.raises(AssertionError, match="allowed"):
        check_eager(*wrong, draw(wrong[1], RAGGED, "float32", seed), seed)
    with pytest.raises(AssertionError):
        test_contract.test_agrees_with_its_reference(*wrong, seed)
