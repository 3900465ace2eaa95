"""The training-quality suite's digits and their splits, its networks, and how batches are drawn."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from benchmarks.training import backbones, datasets, sampling
from benchmarks.training.datasets import Dataset, digits
from benchmarks.training.datasets.images import ByteImages
from benchmarks.training.verification import Pairs
from marginbench.checks import InputError


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


def test_a_manifest_changes_with_any_change_of_the_data():
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
        ({"train": [0, 1]}, "splits: expected train, and test or seen; got train"),
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


def test_seen_has_no_identity_that_is_not_trained():
    splits = {"train": torch.tensor([0]), "seen": torch.tensor([1, 3])}
    with pytest.raises(InputError, match="identities in seen that are trained on; got identity 1"):
        Dataset("toy", torch.zeros(4, 1, 2, 2), torch.tensor([0, 0, 1, 1]), splits)


def test_labels_count_from_zero_and_seen_takes_those_of_train():
    """A head's row 2 is identity 9, whether or not ``seen`` shows identity 5."""
    identities = torch.tensor([5, 9, 3, 9, 3, 7, 6, 7])
    splits = {"train": [0, 1, 2], "seen": [3, 4], "test": [5, 6, 7]}
    data = toy(identities, splits)
    assert data.labels("train").tolist() == [1, 2, 0]
    assert data.labels("seen").tolist() == [2, 0]
    assert data.labels("test").tolist() == [1, 0, 1]
    with pytest.raises(InputError, match="split: expected one of train, seen, test; got 'valid'"):
        data.rows("valid")


def toy(identities: torch.Tensor, splits: dict[str, list[int]], **fields: object) -> Dataset:
    images = torch.arange(len(identities)).reshape(-1, 1, 1, 1) / len(identities)
    rows = {name: torch.tensor(members) for name, members in splits.items()}
    return Dataset("toy", images, identities, rows, **fields)  # type: ignore[arg-type]


def test_validation_trains_and_tests_on_training_identities_only():
    data = digits().validation()
    members = {k: set(data.identities[rows].tolist()) for k, rows in data.splits.items()}
    assert members == {"train": {0, 2, 3}, "test": {1, 4}}
    rows = torch.cat(list(data.splits.values()))
    assert sorted(rows.tolist()) == sorted(digits().rows("train").tolist())
    assert data.manifest != digits().manifest and data.images is digits().images
    assert data.facts["split"].startswith(digits().facts["split"])
    assert "2nd, 5th, 8th" in data.facts["split"]
    closed = datasets.load("digits-closed").validation()
    assert set(closed.identities[closed.rows("test")].tolist()) == {1, 4, 7}
    assert set(closed.rows("test").tolist()) < set(
        datasets.load("digits-closed").rows("train").tolist()
    )


def test_validation_keeps_two_thirds_of_many_identities(seed: int):
    order = torch.randperm(300, generator=torch.Generator().manual_seed(seed))
    splits = {"train": list(range(250)), "test": list(range(250, 300))}
    validation = toy(order, splits).validation()
    assert (len(validation.rows("train")), len(validation.rows("test"))) == (167, 83)
    trained = sorted(order[:250].tolist())
    assert sorted(validation.identities[validation.rows("test")].tolist()) == trained[1::3]
    few = toy(torch.tensor([0, 1, 2, 3, 4]), {"train": [0, 1, 2, 3], "test": [4]})
    with pytest.raises(InputError, match=r"at least 5 training identities .* validation; got 4"):
        few.validation()


def test_closed_digits_train_all_ten_and_test_on_other_images():
    data = datasets.load("digits-closed")
    assert set(data.splits) == {"train", "seen"}
    assert set(data.identities[data.rows("train")].tolist()) == set(range(10))
    assert sorted(torch.cat(list(data.splits.values())).tolist()) == list(range(1797))
    open_seen = set(digits().rows("seen").tolist())
    assert open_seen < set(data.rows("seen").tolist()), "the same fifth is kept out"


def test_bytes_become_the_same_floats(seed: int):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (9, 3, 4, 5), dtype=torch.uint8, generator=generator)
    rows = torch.tensor([8, 0, 0, 3])
    images = ByteImages(pixels)
    assert tuple(images.shape) == (9, 3, 4, 5)
    assert torch.equal(images[rows], pixels[rows].float() / 255)
    with pytest.raises(InputError, match="pixels: expected N x channels x height x width in uint8"):
        ByteImages(pixels.float())
    identities = torch.arange(9)
    splits = {"train": torch.tensor([0]), "test": torch.tensor([1])}
    manifest = Dataset("bytes", images, identities, splits).manifest
    pixels[8, 2, 3, 4] ^= 1
    assert Dataset("bytes", ByteImages(pixels), identities, splits).manifest != manifest


def test_given_pairs_belong_to_the_manifest():
    splits = {"train": [0, 1], "test": [2, 3]}
    manifests = {
        toy(
            torch.tensor([0, 0, 1, 2]), splits,
            pairs=Pairs(torch.tensor([[0, 1]]), torch.tensor([False]), torch.tensor([fold])),
        ).manifest
        for fold in (0, 1)
    }  # fmt: skip
    assert len(manifests) == 2
    with pytest.raises(InputError, match="pairs: expected a split test"):
        pairs = Pairs(torch.tensor([[0, 0]]), torch.tensor([True]), torch.tensor([0]))
        toy(torch.tensor([0, 0]), {"train": [0], "seen": [1]}, pairs=pairs)


def test_datasets_are_loaded_by_name():
    assert datasets.load("digits") is digits()
    known = "digits, .*, glyphs-large, folder:/path, lfw:/path; got 'digit'"
    with pytest.raises(InputError, match=f"dataset: expected one of {known}"):
        datasets.load("digit")


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


def test_few_identities_are_taken_whole_and_a_batch_is_no_larger_than_an_epoch():
    labels = torch.arange(120) % 6
    assert sampling.fitting(labels, 5, 12) == (5, 12), "nothing to fit"
    assert sampling.fitting(labels, 20, 3) == (6, 10), "60 images a step, as asked for"
    assert sampling.fitting(labels, 7, 9) == (6, 10), "63 of six: 60"
    assert sampling.fitting(labels, 64, 4) == (6, 20), "one batch of all 120"
    assert sampling.fitting(labels, 4, 100) == (4, 30)


def test_a_record_holds_counts_and_hashes_of_what_is_long():
    fonts = [{"file": f"{i}.ttf", "sha256": "0" * 64} for i in range(40)]
    facts = {
        "split": "half", "fonts": fonts, "counts": {"blank": 3, "names": "x" * 2_000},
        "short": ["a"],
    }  # fmt: skip
    data = dataclasses.replace(digits(), facts=facts)
    summary = data.summary
    assert summary["fonts"]["count"] == 40 and len(summary["fonts"]["sha256"]) == 64
    assert summary["counts"]["blank"] == 3 and summary["counts"]["names"]["count"] == 2_000
    assert summary["short"] == ["a"] and "split" not in summary
    fonts[7]["sha256"] = "1" * 64
    assert data.summary["fonts"]["sha256"] != summary["fonts"]["sha256"]


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 0, 0]])
def test_partners_that_do_not_exist_are_an_error(labels: list[int]):
    with pytest.raises(InputError, match="labels: expected at least two"):
        sampling.partners(torch.tensor(labels), torch.arange(3), torch.Generator())
