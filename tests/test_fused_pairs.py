"""The Triton side of the losses over pairs and triplets: right values, gradients and indices.

Truth is the float64 reference on the same numbers (`fused_pairs`). Every launch is watched for
lanes out of bounds (`bounds`). Runs in Triton's interpreter where there is no GPU.
"""

from __future__ import annotations

import bounds
import pytest
import torch
from fused_pairs import (
    BATCHES,
    DTYPES,
    LOSSES,
    MINING,
    ROWS,
    agrees,
    draw,
    function,
    labels,
    outcome,
    use_small_tiles,
)
from torch import Tensor

from kernels.triplet import fused_all

# Rows, columns, identities. With tiles of 16: one of everything, a tile less one, a tile, one
# more; over several tiles.
SMALL_TILES = {
    "float32": ((1, 1, 1), (16, 15, 4), (17, 16, 5)),
    "bfloat16": ((37, 17, 15),),
    "float16": ((33, 16, 12),),
}
# With the default tiles, of 64 and 128 (and of 16 for rows): one less, one more, several.
OWN_TILES = ((63, 64, 30), (65, 19, 40))


@pytest.fixture(autouse=True)
def _inside_the_tensors():
    with bounds.watched():
        yield


@pytest.fixture
def many_tiles(monkeypatch):
    use_small_tiles(monkeypatch)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BATCHES)
def test_agrees_over_many_tiles(name: str, dtype: str, many_tiles, device: str, seed: int):
    for size in SMALL_TILES[dtype]:
        agrees(name, draw(name, size, dtype, device, seed), seed, ("none",))


@pytest.mark.parametrize("name", BATCHES)
def test_agrees_in_its_own_tiles(name: str, device: str, seed: int):
    for size, dtype in zip(OWN_TILES, DTYPES, strict=False):
        agrees(name, draw(name, size, dtype, device, seed), seed, ("none",))


@pytest.mark.parametrize("name", ["contrastive/all-pairs", "triplet/batch-hard"])
def test_agrees_over_many_blocks(name: str, many_tiles, device: str, seed: int):
    """Five blocks of columns for two processors and five blocks of rows: splits of 3 and 2."""
    agrees(name, draw(name, (65, 5, 20), "float32", device, seed), seed, ("none",))


@pytest.mark.parametrize("name", BATCHES)
def test_agrees_in_high_dimension(name: str, device: str, seed: int):
    """More columns than any kernel takes at a time."""
    agrees(name, draw(name, (9, 257, 3), "float32", device, seed), seed, ("none",))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROWS)
def test_rows_agree(name: str, dtype: str, device: str, seed: int):
    for size in ((1, 1, 1), (15, 127, 1), (17, 16, 1), (65, 257, 1)):
        agrees(name, draw(name, size, dtype, device, seed), seed)


@pytest.mark.parametrize("name", LOSSES)
def test_reductions_agree(name: str, many_tiles, device: str, seed: int):
    agrees(name, draw(name, (18, 19, 5), "float32", device, seed), seed)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ("long", "float16"),
        ("offset", "float32"),
        ("offset", "bfloat16"),
        ("duplicates", "bfloat16"),
        ("near duplicates", "float32"),
    ],
)
@pytest.mark.parametrize("name", [*ROWS, *BATCHES])
def test_agrees_on_hard_values(name, values, dtype, many_tiles, device, seed):
    agrees(name, draw(name, (17, 19, 6), dtype, device, seed, values), seed, ("none",))


@pytest.mark.parametrize("dtype", DTYPES)
def test_coefficients_keep_their_digits_far_from_the_origin(dtype, many_tiles, device, seed):
    """A gradient is small against the products of coefficients and embeddings it comes from."""
    tensors = draw("triplet/batch-all", (17, 5, 6), dtype, device, seed)
    tensors["embeddings"] = tensors["embeddings"] + 12
    agrees("triplet/batch-all", tensors, seed, ("none",))


@pytest.mark.parametrize(("rows", "identities"), [(9, 1), (17, 2), (9, 9)])
@pytest.mark.parametrize("name", BATCHES)
def test_few_and_many_positives(name, rows, identities, many_tiles, device, seed):
    """One identity: no negative. Two: more positives than a turn takes. All different: none."""
    tensors = draw(name, (rows, 5, identities), "float32", device, seed)
    agrees(name, tensors, seed, ("mean",))
    if name.startswith("triplet") and identities != 2:
        for of, got in outcome(name, "triton", tensors, "mean", seed).items():
            assert not got.any(), of


def test_the_mean_is_over_anchors_with_a_triplet(many_tiles, device: str, seed: int):
    """Of three identities one is alone: an anchor with negatives and no positive."""
    tensors = draw("triplet/batch-hard", (5, 3, 3), "float32", device, seed)
    tensors["labels"] = torch.tensor([0, 0, 1, 1, 2], device=device)
    agrees("triplet/batch-hard", tensors, seed, ("mean",))


def _grid(rows: int, identities: int, seed: int, device: str) -> dict[str, Tensor]:
    """Points with small integer coordinates: distances are exact, and many are equal."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randint(-2, 3, (rows, 3), generator=generator).float()
    of = labels(rows, identities, generator)
    return {"embeddings": points.to(device), "labels": of.to(device)}


@pytest.mark.parametrize("name", MINING)
def test_of_equals_the_lowest_index_is_taken(name: str, many_tiles, device: str, seed: int):
    for dtype, (rows, identities) in zip(DTYPES, ((37, 11), (17, 2), (18, 5)), strict=True):
        tensors = _grid(rows, identities, seed, device)
        tensors["embeddings"] = tensors["embeddings"].to(getattr(torch, dtype))
        wanted = function(name, "reference")(**tensors)
        for got, want in zip(function(name, "triton")(**tensors), wanted, strict=True):
            assert got.dtype == torch.int64 and torch.equal(got, want), (rows, dtype)


def test_of_equals_in_several_blocks_the_lowest_is_taken(many_tiles, device: str, seed: int):
    """Five blocks of columns in splits of 3 and 2, which are scanned one after the other."""
    tensors = _grid(65, 11, seed, device)
    wanted = function("triplet/mine-batch-hard", "reference")(**tensors)
    for got, want in zip(
        function("triplet/mine-batch-hard", "triton")(**tensors), wanted, strict=True
    ):
        assert torch.equal(got, want)


def test_the_farthest_negative_is_taken_where_none_is_beyond(many_tiles, device: str, seed: int):
    """On a sphere with its positive opposite, every anchor takes it, out of four blocks."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.nn.functional.normalize(torch.randn(25, 3, generator=generator), dim=1)
    order = torch.randperm(50, generator=generator)
    x, of = torch.cat((half, -half))[order], torch.arange(25).repeat(2)[order]
    tensors = {"embeddings": x.to(device), "labels": of.to(device)}
    wanted = function("triplet/mine-semi-hard", "reference")(**tensors)
    for got, want in zip(function("triplet/mine-semi-hard", "triton")(**tensors), wanted,
                         strict=True):  # fmt: skip
        assert torch.equal(got, want)


@pytest.mark.parametrize("name", MINING)
def test_mines_what_the_reference_mines(name: str, device: str, seed: int):
    for size in ((1, 3, 1), (9, 4, 1), (65, 16, 40)):
        tensors = draw(name, size, "bfloat16", device, seed)
        wanted = function(name, "reference")(**tensors)
        for got, want in zip(function(name, "triton")(**tensors), wanted, strict=True):
            assert torch.equal(got, want), size


def _exact_on(name: str, tensors: dict[str, Tensor]) -> None:
    """With an integer margin many hinges are 0 exactly: they have the slope 0."""
    results = []
    for contender, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        x = tensors["embeddings"].to(dtype).detach().requires_grad_()
        terms = function(name, contender)(x, tensors["labels"], margin=1.0, reduction="none")
        (gradient,) = torch.autograd.grad(terms.sum(), x)
        results.append((terms.detach().float(), gradient.float()))
    allowed = 0 if name.startswith("triplet") else 1e-5  # square roots are not exact
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=allowed, atol=allowed)


@pytest.mark.parametrize("name", BATCHES)
def test_ties_and_kinks_are_exact_on_a_grid(name: str, many_tiles, device: str, seed: int):
    _exact_on(name, _grid(19, 5, seed, device))


@pytest.mark.parametrize("name", ["triplet/batch-all", "triplet/semi-hard-all"])
def test_more_positives_than_are_sorted_at_a_time(name, monkeypatch, device, seed):
    """A group of eight takes one turn, more take several; the last has one sample or three."""
    monkeypatch.setattr(fused_all, "POSITIVES", 8)
    for of_one in (8, 9, 19):
        tensors = _grid(of_one + 4, 1, seed, device)
        tensors["labels"][-4:] = torch.tensor([1, 1, 1, 2], device=device)
        _exact_on(name, tensors)


@pytest.mark.parametrize("name", BATCHES)
def test_all_equal_points_have_no_gradient_of_their_own(name: str, device: str, seed: int):
    """D = 0 in a different pair has the sub-gradient 0, and equal points do not pull at all."""
    x = torch.full((9, 5), 0.3, device=device).requires_grad_()
    of = torch.arange(9, device=device) % 3
    terms = function(name, "triton")(embeddings=x, labels=of, reduction="none")
    (gradient,) = torch.autograd.grad(terms.sum(), x)
    wanted = function(name, "reference")(embeddings=x.detach(), labels=of, reduction="none")
    torch.testing.assert_close(terms.double(), wanted, rtol=1e-6, atol=0)
    assert not gradient.any()
