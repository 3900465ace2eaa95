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

from marginbench.triplet import fused_all

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


@pytest.mark.parametrize("identities", [2, 9])
@pytest.mark.parametrize("name", ["triplet/mine-batch-hard", "triplet/mine-semi-hard"])
def test_what_rounding_leaves_open_is_settled(name, identities, many_tiles, device, seed):
    """Codes that are moved by an ulp or a few: nearly all distances come several times, in one tile
    and in several, and differ by less than float32 products resolve."""
    generator, batch = torch.Generator().manual_seed(seed), 28 if "semi" in name else 90
    x_BD = torch.randint(0, 2, (batch, 4), generator=generator).float()
    x_BD = x_BD * 0.5 + 2.0**-22 * torch.randint(-8, 9, (batch, 4), generator=generator)
    labels_B = torch.randint(identities, (batch,), generator=generator).to(device)
    got = function(name, "triton")(embeddings=x_BD.to(device), labels=labels_B)
    want = function(name, "reference")(embeddings=x_BD.to(device), labels=labels_B)
    assert all(map(torch.equal, got, want))


@pytest.mark.parametrize("exponent", [-60, 40])
def test_close_pairs_of_any_length_are_close_pairs(exponent: int, many_tiles, device, seed):
    """Pairs that are made again from their differences come in the units of the others."""
    generator = torch.Generator().manual_seed(seed)
    places_KD = torch.randn(6, 9, generator=generator)
    x_BD = places_KD[torch.arange(24) % 6] + 1e-3 * torch.randn(24, 9, generator=generator)
    labels_B, scale = torch.arange(24) % 5, 2.0**exponent
    outcomes = []
    for contender, wide in (("triton", torch.float32), ("reference", torch.float64)):
        leaf = (x_BD * scale).to(device, wide).requires_grad_()
        loss = function("contrastive/all-pairs", contender)
        value = loss(embeddings=leaf, labels=labels_B.to(device), margin=1.2 * scale)
        outcomes.append([value, *torch.autograd.grad(value, leaf)])
    for got, want in zip(*outcomes, strict=True):
        assert float((got.double() - want).norm() / want.norm()) <= 2e-6


@pytest.mark.parametrize("margin", [0.0, 0.25])
@pytest.mark.parametrize("name", ["triplet/batch-all", "triplet/semi-hard-all"])
def test_distances_that_are_equal_by_other_sums_are_equal(name, margin, many_tiles, device, seed):
    """All others are as far from the first: their differences to it hold the same numbers in
    another order, of which float32 makes another sum."""
    generator = torch.Generator().manual_seed(seed)
    step_D = torch.randint(-2000, 2001, (13,), generator=generator) * 2.0**-10
    orders = [torch.randperm(13, generator=generator) for _ in range(23)]
    x_BD = 341.3330078125 + torch.stack([0 * step_D, *(step_D[order] for order in orders)])
    labels_B = torch.randint(2, (24,), generator=generator)
    only_B = torch.zeros(24)
    only_B[0] = 1
    outcomes = []
    for contender, wide in (("triton", torch.float32), ("reference", torch.float64)):
        leaf = x_BD.to(device, wide).requires_grad_()
        loss = function(name, contender)
        terms = loss(embeddings=leaf, labels=labels_B.to(device), margin=margin, reduction="none")
        outcomes.append(torch.autograd.grad(terms, leaf, only_B.to(device, terms.dtype))[0])
    got, want = (of.double().cpu() for of in outcomes)
    assert float((got - want).norm()) <= 1e-5 * float(want.norm().clamp(min=1e-5))


def test_hinges_too_small_for_float32_still_pull(device: str, seed: int):
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randn(9, 5, generator=generator) * 2.0**-90 for _ in range(3)]
    outcomes = []
    for contender, wide in (("triton", torch.float32), ("reference", torch.float64)):
        leaves = [row.to(device, wide).requires_grad_() for row in rows]
        terms = function("triplet/explicit", contender)(
            anchor=leaves[0], positive=leaves[1], negative=leaves[2], margin=0.0, reduction="none"
        )
        outcomes.append(torch.autograd.grad(terms.sum(), leaves))
    for got, want in zip(*outcomes, strict=True):
        assert float((got.double() - want).norm() / want.norm()) <= 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_upstream_gradients_of_any_stride_are_read(name: str, device: str, seed: int):
    """One number for all rows, and every second of a longer vector."""
    tensors = draw(name, (9, 5, 3), "float32", device, seed)
    rows = 9
    leaf = next(t for t in tensors.values() if t.is_floating_point()).requires_grad_()
    terms = function(name, "triton")(**tensors, reduction="none")
    for upstream in (torch.ones(1).expand(rows), torch.rand(2 * rows)[::2]):
        found = [
            torch.autograd.grad(terms, leaf, of.to(device), retain_graph=True)[0]
            for of in (upstream, upstream.contiguous())
        ]
        assert torch.equal(*found) and bool(found[0].any())
