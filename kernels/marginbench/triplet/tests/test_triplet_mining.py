"""Mining rules of the triplet loss, and the peer library on our definitions.

Inputs of the rules lie on a coarse grid, where ties are exact.
"""

from __future__ import annotations

import pytest
import torch
from pair_cases import SHAPES, compare, force_small_blocks, force_static_shapes, grid, variants

import marginbench.triplet.beyond as nearest
import marginbench.triplet.mining as mining
from marginbench import catalogue
from marginbench.inputs import random_inputs
from marginbench.loss import REDUCTIONS, Loss, Shape, Variant
from marginbench.triplet import eager, reference

MARGIN = 0.25
MINING = variants("triplet", "batch", output="indices")
PEERS = [*variants("triplet", "batch", "rows"), *MINING]


def _resolved(loss: Loss, variant: Variant, contender: str):
    return loss.resolve(variant.contender(contender).entry)


# ---- mining


@pytest.mark.parametrize(("loss", "variant"), MINING)
@pytest.mark.parametrize("path", ("plain", "search", "blocks", "static"))
def test_mined_indices_equal_the_reference_with_ties(
    loss: Loss, variant: Variant, path: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "search":
        monkeypatch.setattr(nearest, "_FEW", 0)
        monkeypatch.setattr(mining, "_CUBE", 1)
    if path == "static":
        force_static_shapes(monkeypatch)
    if path == "blocks":
        force_small_blocks(monkeypatch)
    options = {**variant.options, "margin": MARGIN} if variant.options else {}
    for shape in SHAPES:
        batch = grid(shape, seed)
        expected = _resolved(loss, variant, "reference")(**batch, **options)
        got = _resolved(loss, variant, "eager")(**batch, **options)
        assert len(got) == len(expected)
        for mine, right in zip(got, expected, strict=True):
            assert mine.dtype == torch.int64
            assert torch.equal(mine, right), str(shape)


def test_lowest_index_wins_and_a_missing_one_is_minus_one() -> None:
    """Worked by hand: anchor 0 has two positives and two negatives at equal distances."""
    x = torch.tensor([[0.0], [1.0], [-1.0], [2.0], [-2.0], [5.0]])
    y = torch.tensor([0, 0, 0, 1, 1, 2])
    for module in (reference, eager):
        positive, negative = module.mine_batch_hard(x, y)
        assert positive.tolist() == [1, 2, 1, 4, 3, -1]
        assert negative.tolist() == [3, 3, 4, 1, 2, 3]
        anchors, positives, negatives = module.mine_semi_hard(x, y)
        assert list(zip(anchors.tolist(), positives.tolist(), negatives.tolist(), strict=True)) == [
            (0, 1, 3), (0, 2, 3), (1, 0, 4), (1, 2, 4), (2, 0, 3), (2, 1, 3), (3, 4, 2), (4, 3, 5),
        ]  # fmt: skip


def test_farthest_negative_where_none_is_beyond() -> None:
    x = torch.tensor([[0.0], [9.0], [1.0], [-1.0], [0.5]])
    y = torch.tensor([0, 0, 1, 2, 1])
    for module in (reference, eager):
        anchors, positives, negatives = module.mine_semi_hard(x, y)
        # 1 and -1 are the farthest from 0, and 2 comes first.
        assert (int(anchors[0]), int(positives[0]), int(negatives[0])) == (0, 1, 2)


# ---- the peer


@pytest.mark.parametrize(("loss", "variant"), PEERS)
def test_peer_equals_the_reference(loss: Loss, variant: Variant, seed: int) -> None:
    """Off the grid, in float64: the library's distances are square roots, squared again."""
    pytest.importorskip("pytorch_metric_learning")
    if all(c.name != "pytorch-metric-learning" for c in variant.contenders):
        pytest.skip("the library has no such rule, as the folder's docstring says")
    for shape in (Shape(37, 9, 7), Shape(30, 5, 15), Shape(40, 6, 2)):
        inputs = random_inputs(variant, shape, "float64", "cpu", seed)
        tensors = {name: tensor.detach() for name, tensor in inputs.tensors.items()}
        if variant.output == "indices":
            expected = _resolved(loss, variant, "reference")(**tensors, **variant.options)
            got = _resolved(loss, variant, "pytorch-metric-learning")(**tensors, **variant.options)
            assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
            continue
        for reduction in REDUCTIONS:
            compare(loss, variant, tensors, reduction, 1e-9, seed, "pytorch-metric-learning")


def test_peer_says_where_it_stops() -> None:
    loss = catalogue.get("triplet")
    limit = loss.variant("batch-all").contender("pytorch-metric-learning").limit
    assert limit is not None
    assert limit(Shape(512, 128, 128), "float32") is None
    assert "GiB" in str(limit(Shape(4096, 128, 16), "float32"))
    # B^3 = 2^36. With 256 samples of an identity the triplets themselves pass 2^31.
    assert "B^3 = 68,719,476,736 passes 2^31" in str(limit(Shape(4096, 512, 1024), "float32"))
    assert "4,010,803,200 triplets pass 2^31" in str(limit(Shape(4096, 512, 16), "float32"))
    assert "B^3" not in str(limit(Shape(1024, 512, 8), "float32"))
