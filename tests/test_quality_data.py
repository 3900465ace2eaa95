"""The training-quality suite's digits and their splits, its networks, and how batches are drawn."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from kernels.checks import InputError
from suites.quality import backbones, sampling
from suites.quality.datasets import Dataset, digits


def test_digits_are_split_by_identity_and_kept_apart():
    data = digits()
    identities = {name: set(data.identities[rows].tolist()) for name, rows in data.splits.items()}
    assert identities == {
        "train": {0, 1, 2, 3, 4},
        "seen": {0, 1, 2, 3, 4},
        "test": {5, 6, 7, 8, 9},
    }
    rows = torch.cat(list(data.splits.values()))
    assert sorted(rows.tolist()) == list(range(1797))
    assert data.images.dtype == torch.float32
    assert (data.images.min(), data.images.max()) == (0, 1)
    images, labels = data.split("test")
    assert images.shape == (len(labels), 1, 8, 8)
    assert sorted(set(labels.tolist())) == [0, 1, 2, 3, 4]


def test_a_manifest_tells_any_change_of_the_data():
    data = digits()
    digits.cache_clear()
    assert digits().manifest == data.manifest
    images, identities = data.images.clone(), data.identities.clone()
    images[1, 0, 2, 3] += 1 / 16
    identities[0], identities[1] = data.identities[1], data.identities[0]
    swapped = {**data.splits, "train": data.splits["train"].flip(0)}
    changed = (
        dataclasses.replace(data, images=images),
        dataclasses.replace(data, splits=swapped),
    )
    assert len({data.manifest, *(c.manifest for c in changed)}) == 3


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [0, 1], "test": [1, 2, 3]}, "no image in two splits; got image 1 in both train"),
        ({"train": [0, 2], "test": [1, 3]}, "no identity in two splits; got identity 0 in both"),
        ({"train": [0, 1], "test": [2], "seen": [1]}, "no image in two splits; got image 1"),
        ({"train": [0, 1], "test": [2], "valid": [3]}, "no identity in two splits; got identity 1"),
        ({"train": [0, 1]}, "splits: expected train and test; got none named test"),
    ],
)
def test_overlapping_splits_are_refused(splits: dict[str, list[int]], message: str):
    images = torch.zeros(4, 1, 2, 2)
    with pytest.raises(InputError) as error:
        Dataset(
            "toy",
            images,
            torch.tensor([0, 0, 1, 1]),
            {k: torch.tensor(v) for k, v in splits.items()},
        )
    assert message in str(error.value)


def test_seen_may_share_identities_but_not_images():
    splits = {"train": torch.tensor([0]), "seen": torch.tensor([1]), "test": torch.tensor([2, 3])}
    Dataset("toy", torch.zeros(4, 1, 2, 2), torch.tensor([0, 0, 1, 1]), splits)


def test_the_last_relu_is_what_the_option_says(seed: int):
    images = torch.rand(50, 1, 8, 8)
    open_, closed = (
        backbones.build("mlp", (1, 8, 8), 16, torch.Generator().manual_seed(seed), last_relu=relu)
        for relu in (False, True)
    )
    assert open_(images).shape == (50, 16)
    assert open_(images).min() < 0
    assert torch.equal(closed(images), open_(images).relu())
    with pytest.raises(InputError, match=r"backbone: expected one of mlp, .*; got 'vit'"):
        backbones.build("vit", (1, 8, 8), 16, torch.Generator())


def test_shuffled_batches_show_each_image_at_most_once(seed: int):
    batches = list(sampling.shuffled(103, 20, torch.Generator().manual_seed(seed)))
    assert [len(b) for b in batches] == [20] * 5 == [20] * sampling.steps_per_epoch(103, 20)
    assert len(torch.cat(batches).unique()) == 100


def test_balanced_batches_are_p_times_k(seed: int):
    labels = torch.arange(7).repeat_interleave(torch.tensor([3, 9, 9, 9, 9, 9, 9]))
    generator = torch.Generator().manual_seed(seed)
    batches = list(sampling.identity_balanced(labels, 4, 5, generator))
    assert len(batches) == sampling.steps_per_epoch(len(labels), 20)
    for rows in batches:
        counts = labels[rows].bincount(minlength=7)
        assert sorted(counts[counts > 0].tolist()) == [5, 5, 5, 5]
        for label in labels[rows].unique().tolist():
            chosen = rows[labels[rows] == label]
            # The identity with three images shows all three, then repeats.
            assert len(chosen.unique()) == min(5, int((labels == label).sum()))


def test_partners_are_every_image_that_qualifies_and_no_other(seed: int):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([2, 0, 1, 0, 2, 2, 1])
    rows = torch.arange(7).repeat(400)
    second, third = sampling.partners(labels, rows, generator)
    for row in range(7):
        same = set((labels == labels[row]).nonzero()[:, 0].tolist()) - {row}
        other = set((labels != labels[row]).nonzero()[:, 0].tolist())
        # 400 draws of at most 5: one is never drawn with a chance of 5 (4/5)^400 < 1e-37.
        assert set(second[rows == row].tolist()) == same
        assert set(third[rows == row].tolist()) == other


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 0, 0]])
def test_partners_that_do_not_exist_are_an_error(labels: list[int]):
    with pytest.raises(InputError, match="labels: expected at least two"):
        sampling.partners(torch.tensor(labels), torch.arange(3), torch.Generator())
