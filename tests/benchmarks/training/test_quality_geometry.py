"""Distances, class weights and what figures are drawn from, on arrangements known by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.instruments.metrics import METRICS
from benchmarks.training import geometry, metrics, series, verification


def rays(*degrees: float) -> Tensor:
    turn = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([turn.cos(), turn.sin()], dim=1)


def test_distances_of_a_known_arrangement():
    x = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 8.0], [6.0, 8.0], [3.0, 20.0]])
    labels = torch.tensor([4, 4, 9, 9, 2])
    got = metrics.evaluate(x, labels, verification.verification_pairs(labels))
    # Class means (3, 0), (3, 8), (3, 20); the single image has no width, not one of 0.
    assert got["intra_class_distance"] == pytest.approx((3 + 3) / 2)
    assert got["inter_class_distance"] == pytest.approx((8 + 12 + 20) / 3)
    assert got["positive_distance_mean"] == pytest.approx(6)
    lonely = [math.hypot(3, 20), math.hypot(3, 20), math.hypot(3, 12), math.hypot(3, 12)]
    apart = sorted([8, 8, 10, 10, *lonely])
    assert got["negative_distance_p5"] == pytest.approx(apart[0])
    assert got["embedding_diameter"] == pytest.approx((6 + 6 + sum(apart)) / 10)
    assert got["embedding_norm_mean"] == pytest.approx((0 + 6 + 8 + 10 + math.hypot(3, 20)) / 5)


def test_distances_are_not_normalised_and_angles_are(seed: int):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(60) % 4
    x = torch.randn(60, 5, generator=generator) + labels[:, None]
    pairs = verification.verification_pairs(labels)
    one, ten = (metrics.evaluate(scale * x, labels, pairs) for scale in (1, 10))
    for name in metrics.instruments_of():
        grows = "distance" in name or name in ("embedding_norm_mean", "embedding_diameter")
        assert ten[name] == pytest.approx((10 if grows else 1) * one[name], rel=1e-5), name


def test_equal_embeddings_are_exactly_nothing_apart(seed: int):
    x = 1e3 * torch.randn(1, 40, generator=torch.Generator().manual_seed(seed)).repeat(50, 1)
    labels = torch.arange(50) % 5
    got = metrics.evaluate(x, labels, verification.verification_pairs(labels))
    assert got["embedding_diameter"] == got["negative_distance_p5"] == 0


def test_a_quantile_is_that_of_torch(seed: int):
    values = torch.randn(101, generator=torch.Generator().manual_seed(seed)).double()
    for share in (0.0, 0.05, 0.5, 0.951, 1.0):
        assert geometry.quantile(values, share) == pytest.approx(float(values.quantile(share)))
    assert math.isnan(geometry.quantile(values[:0], 0.5))


def test_samples_are_the_same_each_time_and_hold_all_where_they_can():
    torch.manual_seed(1)
    rows = geometry.sample(9_000)
    torch.manual_seed(2)
    assert torch.equal(rows, geometry.sample(9_000))
    assert len(rows.unique()) == geometry.SAMPLE
    assert torch.equal(geometry.sample(7), torch.arange(7))


def test_a_head_is_judged_as_it_classifies():
    weights = rays(0, 100, 220) * torch.tensor([[1.0], [1.0], [9.0]])
    x = rays(10, 90, 120, 155) * 3
    labels = torch.tensor([0, 1, 1, 1])
    # At 155 degrees the weight at 220 wins by its length and the one at 100 by its angle; a bias
    # takes everything for class 0.
    assert metrics.head(x, labels, weights)["classifier_accuracy"] == 3 / 4
    bias = torch.tensor([100.0, 0.0, 0.0])
    assert metrics.head(x, labels, weights, bias)["classifier_accuracy"] == 1 / 4
    free = metrics.head(x, labels, weights, bias, norm_free=True)
    assert free["classifier_accuracy"] == 1
    by_angle = metrics.head(x, labels, weights, bias)["norm_free_accuracy"]
    assert by_angle == free["norm_free_accuracy"] == free["classifier_accuracy"]
    # Angles to the nearest other weight: 100, 100, 120.
    assert free["class_weight_angle_deg"] == pytest.approx((100 + 100 + 120) / 3)


def test_the_widest_twentieth_of_a_class_is_left_out_of_its_margin():
    weights = rays(0, 180)
    x = torch.cat([rays(*range(21)), rays(*[180] * 4)])
    labels = torch.tensor([0] * 21 + [1] * 4)
    got = metrics.head(x, labels, weights)
    assert got["angular_margin_ratio"] == pytest.approx((180 - 19) / 180, abs=1e-6)


def test_each_pair_counts_once():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    positive, negative, _ = geometry.positive_and_negative(torch.rand(6, 3).double(), labels)
    assert (len(positive), len(negative)) == (3 + 1, 15 - 4)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_the_margin_ratio_is_the_bound_where_embeddings_fill_what_it_allows(m: int):
    theta = 72.0
    weights = rays(0, 72, 144, 216, 288) * 5
    # m phi = theta - phi at the edge of what A-Softmax classifies right.
    phi = theta / (m + 1)
    x = rays(*(c * theta + sign * phi for c in range(5) for sign in (-1, 1)))
    labels = torch.arange(5).repeat_interleave(2)
    got = metrics.head(x, labels, weights, norm_free=True)
    assert got["angular_margin_ratio"] == pytest.approx((m - 1) / (m + 1), abs=1e-6)


def test_the_margin_ratio_leaves_out_classes_without_images():
    weights = rays(0, 90, 1)
    x, labels = rays(9, -9, 99, 81), torch.tensor([0, 0, 1, 1])
    got = metrics.head(x, labels, weights)
    assert got["angular_margin_ratio"] == pytest.approx((90 - 9 - 9) / 90, abs=1e-6)
    only = metrics.head(x[:2], labels[:2], weights)
    assert only["angular_margin_ratio"] is None
    weights[0, 0] = math.nan
    assert set(metrics.head(x, labels, weights).values()) == {None}


def test_nearest_weights_in_chunks(seed: int):
    unit = F.normalize(
        torch.randn(2_300, 8, generator=torch.Generator().manual_seed(seed)).double(), dim=1
    )
    angle, index = geometry.nearest_weights(unit)
    cosine = (unit @ unit.T).fill_diagonal_(-1)
    assert torch.equal(index, cosine.argmax(1))
    assert torch.allclose(angle, cosine.max(1)[0].acos().rad2deg())


def test_series_are_lists_that_fit_together(seed: int):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(1_500) % 6
    x = torch.randn(1_500, 3, generator=generator) * torch.tensor([1.0, 9.0, 4.0]) + 20
    pairs = verification.verification_pairs(labels)
    got = series.series(x, labels, pairs)
    assert all(isinstance(v, float) for values in got.values() for v in values)
    assert len(got["embedding_1"]) == len(got["embedding_2"]) == 1_000
    assert len(got["embedding_identity"]) == 1_000 and set(got["embedding_identity"]) == set(
        range(6)
    )
    # The two axes in which the images vary most are the second and the third coordinate.
    first, second = torch.tensor(got["embedding_1"]), torch.tensor(got["embedding_2"])
    assert float(first.std()) == pytest.approx(9, rel=0.1)
    assert float(second.std()) == pytest.approx(4, rel=0.1)
    assert len(got["distance_edges"]) == 41
    for kind in ("positive", "negative"):
        assert len(got[f"{kind}_distance_share"]) == 40
        assert sum(got[f"{kind}_distance_share"]) == pytest.approx(1)
    assert got["roc_far"][0] == got["roc_tar"][0] == 0
    assert got["roc_far"][-1] == got["roc_tar"][-1] == 1
    assert len(got["roc_far"]) == len(got["roc_tar"]) <= 400
    assert got["roc_far"] == sorted(got["roc_far"]) and got["roc_tar"] == sorted(got["roc_tar"])
    assert "angle_edges" not in got
    assert series.series(x / 0, labels, pairs) == {}


def test_two_coordinates_are_shown_as_they_are_and_by_angle():
    x = rays(5, 5, -95, 179) * 2
    labels = torch.tensor([0, 0, 1, 1])
    got = series.series(x, labels, verification.verification_pairs(labels))
    assert got["embedding_1"] == pytest.approx(x[:, 0].tolist())
    assert got["embedding_2"] == pytest.approx(x[:, 1].tolist())
    assert len(got["angle_edges"]) == 37
    shares = {i: share for i, share in enumerate(got["angle_share"]) if share}
    assert shares == {18: 0.5, 8: 0.25, 35: 0.25}


def test_every_figure_is_in_the_table():
    for name in metrics.instruments_of():
        assert name in METRICS and f"seen_{name}" in METRICS
    for name in metrics.instruments_of(head=True):
        assert f"seen_{name}" in METRICS and name not in METRICS
    for name in ("train_accuracy", "samples_per_second", "data_wait_share", "peak_memory_bytes"):
        assert name in METRICS
