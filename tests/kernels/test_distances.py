"""Squared pairwise distances: exact to rounding near and far, on every path."""

from __future__ import annotations

import pytest
import torch
from pair_cases import DISTANCE, force_small_blocks, force_static_shapes, grid

import marginbench.shared.distances as distances
from marginbench.loss import Shape


def _clusters(generator: torch.Generator, spread: float) -> torch.Tensor:
    centres = torch.randn(5, 24, generator=generator)
    return centres.repeat(20, 1) + spread * torch.randn(100, 24, generator=generator)


@pytest.mark.parametrize("path", ("plain", "blocks", "static"))
def test_distances_are_exact_to_rounding_near_and_far(
    path: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "blocks":
        force_small_blocks(monkeypatch)
    if path == "static":
        force_static_shapes(monkeypatch)
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(100, 24, generator=generator)
    cases = {
        "far": normal,
        "moved far away": normal + 1000,
        "collapsed": 100 * normal[:1] + 1e-3 * normal,
        "duplicates": normal.repeat(2, 1)[:150],
        "twins": torch.cat((normal, normal * (1 + 1e-6))),
        "tight clusters": _clusters(generator, 1e-3),
        "loose clusters": _clusters(generator, 0.1),
        "zeros": torch.zeros(40, 3),
    }
    for name, x_BD in cases.items():
        these = distances.points(x_BD)
        blocks = distances.blocks(len(x_BD), x_BD)
        d2_BB = torch.cat([distances.squared_distances(these, r)[0].clone() for r in blocks])
        right_BB = (x_BD.double()[:, None] - x_BD.double()).square().sum(dim=2)
        assert not d2_BB[right_BB == 0].any(), name
        apart = right_BB > 0
        error = ((d2_BB.double() - right_BB).abs() / right_BB)[apart]
        assert error.numel() == 0 or float(error.max()) <= DISTANCE, name


def test_distances_of_a_grid_keep_their_ties(seed: int) -> None:
    """Centring moves by a multiple of a power of two, so nothing on the grid is rounded."""
    x_BD = grid(Shape(90, 7, 3), seed)["embeddings"] + 3
    (rows,) = distances.blocks(90, x_BD)
    d2_BB, _ = distances.squared_distances(distances.points(x_BD), rows)
    right_BB = (x_BD[:, None] - x_BD).square().sum(dim=2)
    assert torch.equal(d2_BB, right_BB)


def test_static_shapes_never_give_a_negative_distance(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of duplicates the products of split embeddings leave nothing but rounding."""
    force_static_shapes(monkeypatch)
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(40, 130, generator=generator).repeat(2, 1)
    d2_BB, _ = distances.squared_distances(distances.points(x_BD), slice(0, 80))
    assert (d2_BB >= 0).all()
