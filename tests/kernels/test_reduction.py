"""What every contender ends in: terms become a value. Shared by all, so held by no comparison."""

from __future__ import annotations

import torch

from marginbench.shared.reduction import reduce


def test_terms_become_a_value():
    terms = torch.tensor([1.0, 2.0, 6.0])
    assert torch.equal(reduce(terms, "none"), terms)
    assert reduce(terms, "sum") == 9 and reduce(terms, "sum", 2) == 9
    assert reduce(terms, "mean") == 3 and reduce(terms, "mean", 2) == 4.5
    for nothing in (0, torch.tensor(0)):
        assert reduce(0 * terms, "mean", nothing) == 0


def test_a_mean_is_held_where_its_sum_is_not():
    terms = torch.full((8,), 3e38)
    mean = reduce(terms, "mean")
    assert mean == terms[0] and mean.dtype == torch.float32
    assert reduce(terms, "sum") == torch.inf
