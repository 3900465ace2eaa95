"""What float32 leaves open is decided as the definitions decide it: ties off every grid, in any
layout, at any length, with few and many positives, few and many ties, and on static shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.training import mining
from marginbench.contrastive import eager as pairs
from marginbench.contrastive import reference as exact_pairs
from marginbench.shared import distances, exact
from marginbench.triplet import batch_all, eager, reference

# Ties of float64 that are none in exact numbers are apart by some roundings of sums over D.
ROUNDING = 1e-13
WAYS = ("differences", "products", "static")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How open comparisons are decided: one by one, a block at once, or on static shapes."""
    if request.param == "static":
        monkeypatch.setattr(distances, "static_shapes", lambda _: True)
    monkeypatch.setattr(exact, "_MANY", {"differences": 1e9, "products": 0.0}.get(request.param, 0))
    return request.param


def drawn(seed: int, *size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def codes(seed: int, batch: int, dim: int, identities: int, scale: float = 1.0):
    """Quantised embeddings and labels: most distances come several times."""
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randint(-1, 2, (batch, dim), generator=generator).float() * scale
    return x_BD, torch.randint(identities, (batch,), generator=generator)


def off_grid(seed: int, batch: int, identities: int) -> tuple[Tensor, Tensor]:
    """Codes with a common offset that no product is exact with."""
    x_BD, labels = codes(seed, batch, 7, identities)
    return x_BD + 3 * drawn(seed + 1, 7), labels


def squared(x_BD: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return (x_BD[first].double() - x_BD[second].double()).square().sum(dim=1)


def gradient(function, x_BD: Tensor, labels: Tensor, **options) -> Tensor:
    leaf = x_BD.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(leaf, labels, **options), leaf)
    return found.double()


def off(got: Tensor, want: Tensor) -> float:
    return float((got - want).norm() / want.norm().clamp(min=1e-300))


@pytest.mark.parametrize(("batch", "identities"), [(150, 2), (100, 30)])
@pytest.mark.parametrize("rule", ["mine_batch_hard", "mine_semi_hard"])
def test_mined_negatives_are_the_definitions(rule, batch, identities, way, seed):
    x_BD, labels = off_grid(seed, batch, identities)
    *anchors, got = getattr(eager, rule)(x_BD, labels)
    *others, want = getattr(reference, rule)(x_BD, labels)
    if rule == "mine_semi_hard":
        assert all(map(torch.equal, anchors, others))
        to_positive = squared(x_BD, anchors[0], anchors[1])
    else:
        to_positive = torch.full((batch,), torch.inf)
    anchor = anchors[0] if rule == "mine_semi_hard" else torch.arange(batch)
    to_got, to_want = (squared(x_BD, anchor, n) for n in (got, want))
    as_far = (to_want - to_positive).abs() <= ROUNDING * to_want
    assert bool(((to_got - to_want).abs() <= ROUNDING * to_want)[~as_far].all())


@pytest.mark.parametrize(("batch", "identities"), [(150, 2), (100, 30)])
@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_triplets_at_the_edges_count_as_the_definition_counts(batch, identities, margin, way, seed):
    """On a grid, where equal is equal in every arithmetic; the offset makes float32 round."""
    x_BD, labels = codes(seed, batch, 7, identities, 0.5)
    x_BD = x_BD + torch.tensor([4097.0, -8193.0, 3.0, 1025.0, 0.0, 7.0, -2049.0])
    for name in ("semi_hard", "semi_hard_all", "batch_all"):
        got = gradient(getattr(eager, name), x_BD, labels, margin=margin)
        want = gradient(getattr(reference, name), x_BD.double(), labels, margin=margin)
        assert off(got, want) <= 1e-6, name


@pytest.mark.parametrize("few", [0, 100], ids=["by search", "by rank"])
@pytest.mark.parametrize("scale", [1.0, 2.0**10, 2.0**14])
def test_equals_are_within_a_margin_that_rounding_loses(scale, few, way, monkeypatch, seed):
    """d_ap = d_an is a hinge of 0.2, also where d_ap + 0.2 is d_ap."""
    monkeypatch.setitem(batch_all.sweep.__kwdefaults__, "few", few)
    x_BD, labels = codes(seed, 40, 5, 5, scale)
    for divisor in ("valid", "active"):
        got = gradient(eager.batch_all, x_BD, labels, divisor=divisor)
        want = gradient(reference.batch_all, x_BD.double(), labels, divisor=divisor)
        assert off(got, want) <= 1e-6, divisor


@pytest.mark.parametrize("rule", mining.RULES)
def test_offline_mining_takes_none_that_is_as_far_as_the_positive(rule, way, seed):
    """Duplicates on the unit sphere: every distance comes several times."""
    places_KD = torch.nn.functional.normalize(drawn(seed, 30, 16), dim=1)
    generator = torch.Generator().manual_seed(seed)
    x_PD = places_KD[torch.randint(30, (120,), generator=generator)]
    labels_P = torch.randint(12, (120,), generator=generator)
    first = labels_P.argsort(stable=True)
    anchors, positives = first[:-1], first[1:]
    real = labels_P[anchors] == labels_P[positives]
    anchors, positives = anchors[real], positives[real]
    got = mining._negatives(
        x_PD[anchors], x_PD[positives], labels_P[anchors], x_PD, labels_P, rule
    )  # fmt: skip
    wide_PD = x_PD.double()
    to_AP = (wide_PD[anchors, None] - wide_PD).square().sum(dim=2)
    limit_A1 = (wide_PD[anchors] - wide_PD[positives]).square().sum(dim=1, keepdim=True)
    own_AP = labels_P[anchors, None] == labels_P
    assert not own_AP[torch.arange(len(got)), got].any()
    beyond_AP = to_AP > limit_A1 * (1 + ROUNDING) if "semi" in rule else ~own_AP
    best_A = to_AP.masked_fill(own_AP | ~beyond_AP, torch.inf).amin(dim=1)
    farthest_A = to_AP.masked_fill(own_AP, -torch.inf).amax(dim=1)
    best_A = best_A.where(best_A < torch.inf, farthest_A)
    got_A = to_AP[torch.arange(len(got)), got]
    assert bool(((got_A - best_A).abs() <= ROUNDING * best_A).all())


def test_the_layout_of_embeddings_changes_nothing(way, seed):
    """Column by column in memory, sums over D would run in another order, and part equals."""
    x_BD = drawn(seed, 40, 23)[torch.randint(40, (120,), generator=torch.Generator())]
    labels = torch.arange(120) % 40
    turned_BD = x_BD.t().contiguous().t()
    for module in (eager, reference):
        for rule in ("mine_batch_hard", "mine_semi_hard"):
            mine = getattr(module, rule)
            assert all(map(torch.equal, mine(turned_BD, labels), mine(x_BD, labels)))
        for name in ("semi_hard", "semi_hard_all", "batch_all"):
            loss = getattr(module, name)
            assert torch.equal(loss(turned_BD, labels, margin=0.0), loss(x_BD, labels, margin=0.0))


@pytest.mark.parametrize("scale", [1e8, 1e10, 1e12])
def test_pairs_close_together_among_far_ones_keep_their_slopes(scale, seed):
    """Slopes of 1 / D on differences of D: a product of slopes with embeddings loses them."""
    x_BD = 0.3 * drawn(seed, 14, 9)
    x_BD[:6] *= scale
    x_BD[6:] *= 1e-3
    labels = torch.arange(14)
    got, want = gradient(pairs.all_pairs, x_BD, labels), gradient(
        exact_pairs.all_pairs, x_BD.double(), labels
    )  # fmt: skip
    assert off(got, want) <= 1e-6


def test_products_that_torch_may_round_are_not_made(monkeypatch, seed):
    """bfloat16 factors would put distances off by far more than `Points.rounding`."""
    x_BD = drawn(seed, 9, 5)
    assert distances.points(x_BD).parts is None and distances.points(x_BD).rounding > 0
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    these = distances.points(x_BD)
    assert these.parts is not None and these.rounding == 0


def test_many_ties_cost_one_product_and_not_a_row_each(monkeypatch, seed):
    """Differences of every open entry with all of the batch were 25 times ordinary data's time."""
    asked = []
    between = exact.between
    monkeypatch.setattr(
        exact, "between", lambda *of: asked.append(len(of[1])) or between(*of)
    )  # fmt: skip
    x_BD, labels = codes(seed, 128, 16, 32)
    eager.semi_hard(x_BD, labels)
    assert not asked
    eager.semi_hard(drawn(seed, 128, 16), labels)
    assert sum(asked) <= 64
