"""Embeddings of a small network trained on digits, as a batch like the drawn ones."""

from __future__ import annotations

import pytest
import torch

from benchmarks.training import real
from marginbench import catalogue
from marginbench.checks import InputError
from marginbench.inputs import inputs_from, random_batch
from marginbench.loss import Shape
from suites.presets import PRESETS

FIELDS = (
    "embeddings", "labels", "class_weights", "bias", "centers", "second", "third", "different",
)  # fmt: skip


def test_shapes_and_dtypes_are_those_of_a_drawn_batch(seed: int):
    shape = Shape(37, 19, 10)
    got, drawn = real.batch(shape, seed), random_batch(shape, seed)
    for name in FIELDS:
        assert getattr(got, name).shape == getattr(drawn, name).shape, name
        assert getattr(got, name).dtype == getattr(drawn, name).dtype, name
        assert not getattr(got, name).requires_grad, name


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(seed: int):
    shape = Shape(64, 16, 10)
    first = real.batch(shape, seed)
    real._trained.cache_clear()
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        again = real.batch(shape, seed)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    other = real.batch(shape, seed + 1)
    for name in FIELDS:
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert not torch.equal(first.embeddings, other.embeddings)


def test_the_network_has_learnt_and_leaves_hard_pairs(seed: int):
    batch = real.batch(Shape(512, 64, 10), seed)
    logits = batch.embeddings @ batch.class_weights.T + batch.bias
    assert (logits.argmax(1) == batch.labels).float().mean() > 0.8

    unit = real.batch(Shape(512, 64, 10), seed, unit=True)
    distance = torch.cdist(unit.embeddings, unit.embeddings).square()
    same = unit.labels[:, None] == unit.labels
    same_other = same & ~torch.eye(512, dtype=torch.bool)
    assert distance[same_other].mean() < distance[~same].mean()
    # Some negatives are nearer than some positives: there is something to mine.
    assert distance[same_other].max() > distance[~same].min()


def test_partners_and_centers_are_what_they_say(seed: int):
    batch = real.batch(Shape(1797, 16, 10), seed)
    every, labels = batch.embeddings, batch.labels
    assert len(every.unique(dim=0)) == len(every), "images are different ones"
    nearest_second = torch.cdist(batch.second, every).argmin(1)
    nearest_third = torch.cdist(batch.third, every).argmin(1)
    assert torch.equal(labels[nearest_second], labels)
    assert (nearest_second != torch.arange(1797)).all()
    assert (labels[nearest_third] != labels).all()
    means = torch.stack([every[labels == c].mean(0) for c in range(10)])
    # The same mean in another order: a bound of N eps on a sum of N terms of this size.
    bound = 1797 * torch.finfo(torch.float32).eps * every.abs().max()
    assert (batch.centers - means).abs().max() <= bound


def test_unit_embeddings_are_unit(seed: int):
    batch = real.batch(Shape(50, 16, 10), seed, unit=True)
    for rows in (batch.embeddings, batch.second, batch.third):
        norms = rows.double().norm(dim=1)
        # A division of each of 16 coordinates and their norm, rounded in float32.
        assert (norms - 1).abs().max() <= 16 * torch.finfo(torch.float32).eps


def test_a_batch_can_be_changed_without_changing_the_next(seed: int):
    shape = Shape(8, 16, 10)
    first = real.batch(shape, seed)
    kept = {name: getattr(first, name).clone() for name in FIELDS}
    for name in FIELDS:
        getattr(first, name).zero_()
    again = real.batch(shape, seed)
    for name in FIELDS:
        assert torch.equal(kept[name], getattr(again, name)), name


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape(8, 16, 7), "shape.classes: expected 10, as digits have; got 7"),
        (Shape(1798, 16, 10), "shape.batch: expected 1 to 1797, as digits have; got 1798"),
        (Shape(0, 16, 10), "shape.batch: expected 1 to 1797, as digits have; got 0"),
    ],
)
def test_sizes_that_digits_do_not_have_are_refused(shape: Shape, message: str):
    with pytest.raises(InputError) as error:
        real.batch(shape, 0)
    assert str(error.value) == message


def test_every_variant_takes_it_at_the_presets_size(seed: int):
    for preset in PRESETS.values():
        for loss in catalogue.losses():
            for variant in loss.variants:
                batch = real.batch(preset.real_shape, seed, unit=variant.unit_embeddings)
                inputs = inputs_from(variant, batch, "float32", "cpu")
                assert set(inputs.differentiable) <= set(inputs.tensors), (loss.name, variant.name)
