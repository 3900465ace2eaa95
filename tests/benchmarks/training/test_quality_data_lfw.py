"""LFW on a small tree: given pairs with their folds, what trains beside them, and what is missing
or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_quality_data_files import picture, shades

from benchmarks.training import datasets
from benchmarks.training.datasets import Missing
from benchmarks.training.datasets.dataset import ALSO_CHECKED, DISTINGUISHED
from marginbench.checks import InputError
from suites.quality import protocol

PAIRS = """2\t1
Ann_Bee\t1\t2
Ann_Bee\t3\tCal\t1
Cal\t2\t1
Cal\t2\tDee\t1
"""


def person(root: Path, name: str, count: int, shade: int) -> None:
    (root / name).mkdir(parents=True)
    for i in range(1, count + 1):
        content = picture(shade + i, kind="PNG")
        (root / name / f"{name}_{i:04d}.png").write_bytes(content)


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    root = tmp_path / "lfw"
    for shade, (name, count) in enumerate(
        {"Ann_Bee": 3, "Cal": 2, "Dee": 2, "Eve": 3, "Flo": 2, "Gus": 1}.items()
    ):
        person(root, name, count, 10 * shade)
    (root / "pairs.txt").write_text(PAIRS)
    return root


def test_the_given_pairs_are_tested_and_the_others_trained(lfw: Path):
    data = datasets.load(f"lfw:{lfw}?size=8x6")
    assert sorted(shades(data, data.rows("train"))) == [31, 32, 33, 41, 42]
    assert shades(data, data.rows("test")) == [1, 2, 3, 11, 12, 21]
    pairs = data.pairs
    assert pairs is not None
    tested = torch.tensor(shades(data, data.rows("test")))
    assert tested[pairs.indices].tolist() == [[1, 2], [3, 11], [12, 11], [12, 21]]
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.fold.tolist() == [0, 0, 1, 1]
    labels = data.labels("test")[pairs.indices]
    assert torch.equal(labels[:, 0] == labels[:, 1], pairs.same)
    assert data.facts["identities"] == {"train": 2, "test": 3}
    assert data.facts["pairs"] == {"same": 2, "all": 4, "folds": 2}
    assert data.facts["skipped"] == {
        "training identities with one picture": {"count": 1, "first": ["Gus"]}
    }


def test_another_folder_can_train_without_the_people_tested(lfw: Path, tmp_path: Path):
    for shade, name in enumerate(["Cal", "x1", "x2", "x3", "x4", "x5"]):
        person(tmp_path / "faces", name, 2, 100 + 4 * shade)
    data = datasets.load(f"lfw:{lfw}?train={tmp_path / 'faces'}&size=8x6")
    trained = [100 + 4 * p + i for p in range(1, 6) for i in (1, 2)]
    assert shades(data, data.rows("train")) == trained
    assert shades(data, data.rows("test")) == [1, 2, 3, 11, 12, 21]
    reason = "training identities called as one in the pairs"
    assert data.facts["skipped"] == {reason: {"count": 1, "first": ["Cal"]}}
    validation = data.validation()
    assert validation.pairs is None
    assert set(shades(validation, validation.rows("test"))) == {109, 110, 121, 122}


# All PNGs end in the same four bytes: then the whole content decides.
@pytest.mark.parametrize("end", [512, 4])
def test_no_file_is_trained_on_that_is_tested_under_another_name(
    lfw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: int
):
    """Numbered folders, as CASIA's and MS1M's are: their names say nothing."""
    monkeypatch.setattr("benchmarks.training.datasets.copies._END", end)
    faces = tmp_path / "faces"
    for shade in range(4):
        person(faces, f"{shade:07d}", 3, 100 + 4 * shade)
    tested, untested = lfw / "Ann_Bee" / "Ann_Bee_0002.png", lfw / "Eve" / "Eve_0001.png"
    copy = tested.read_bytes()
    (faces / "0000001" / "0000001_0002.png").write_bytes(copy)
    for i in (1, 2):
        (faces / "0000002" / f"0000002_000{i}.png").write_bytes(copy)
    (faces / "0000003" / "0000003_0003.png").write_bytes(untested.read_bytes())
    (faces / "0000004").mkdir()
    for i in (1, 2):
        (faces / "0000004" / f"0000004_000{i}.png").write_bytes(copy)
    assert len(picture(102)) == len(copy), "of one that stays, so that its content is looked at"
    data = datasets.load(f"lfw:{lfw}?train={faces}&size=8x6")
    assert shades(data, data.rows("train")) == [101, 102, 103, 105, 107, 113, 114, 31]
    assert data.facts["skipped"] == {
        "training files byte-equal to a tested one": {
            "count": 5,
            "first": [
                "0000001/0000001_0002.png", "0000002/0000002_0001.png", "0000002/0000002_0002.png",
                "0000004/0000004_0001.png", "0000004/0000004_0002.png",
            ],
        },
        "training identities with one picture": {"count": 1, "first": ["0000002"]},
        "training identities with no picture but those tested": {"count": 1, "first": ["0000004"]},
    }  # fmt: skip


def test_the_protocol_says_what_of_identities_and_files_was_checked(lfw: Path, tmp_path: Path):
    for shade in range(6):
        person(tmp_path / "faces", f"{shade}", 2, 100 + 4 * shade)
    data = datasets.load(f"lfw:{lfw}?train={tmp_path / 'faces'}")
    folder = datasets.load(f"folder:{tmp_path / 'faces'}")
    job = protocol.closed("lfw:/lfw", [0], losses=["softmax"])[0]
    said = [
        protocol.protocol_text(job, of.facts, tested={"test": 6}, pairs=4, folds=2)["disjointness"]
        for of in (data, data.validation(), folder)
    ]
    by_name = (
        "checked when the data is loaded: no image is in two splits, and no identity of test is in "
        "train (by the folders' names)"
    )
    bytes_too = f"{by_name}; no file of train is, byte for byte, one of test"
    assert said == [bytes_too, by_name, bytes_too]
    assert not {DISTINGUISHED, ALSO_CHECKED} & set(data.summary), "said once"


def test_pairs_without_a_picture_are_left_out_and_counted(lfw: Path):
    (lfw / "Dee" / "Dee_0001.png").unlink()
    (lfw / "Ann_Bee" / "Ann_Bee_0002.png").write_bytes(b"")
    data = datasets.load(f"lfw:{lfw}?size=8x6")
    assert data.pairs is not None and data.pairs.fold.tolist() == [0, 1]
    assert data.facts["skipped"]["pairs without one of their pictures"] == {
        "count": 2, "first": ["Ann_Bee/Ann_Bee_0002", "Dee/Dee_0001"],
    }  # fmt: skip
    reason = "files without the header of an image"
    assert data.facts["skipped"][reason]["first"] == ["Ann_Bee/Ann_Bee_0002.png"]
    # Someone whom only pairs that were left out name is still not trained on.
    assert sorted(shades(data, data.rows("train"))) == [31, 32, 33, 41, 42]


def test_a_pairs_file_elsewhere_and_of_one_fold(lfw: Path, tmp_path: Path):
    (lfw / "pairs.txt").unlink()
    with pytest.raises(Missing, match=r"LFW's pairs are not there: .*pairs\.txt is no file"):
        datasets.load(f"lfw:{lfw}")
    (tmp_path / "dev.txt").write_text(
        "2\nAnn_Bee\t1\t2\nCal\t1\t2\nAnn_Bee\t3\tCal\t1\nCal 2 Dee 1"
    )
    data = datasets.load(f"lfw:{lfw}?pairs={tmp_path / 'dev.txt'}")
    assert data.pairs is not None
    assert data.pairs.same.tolist() == [True, True, False, False]
    assert data.pairs.fold.tolist() == [0, 0, 0, 0]


def test_a_byte_order_mark_is_no_part_of_the_first_number(lfw: Path):
    whole = datasets.load(f"lfw:{lfw}").manifest
    (lfw / "pairs.txt").write_text(PAIRS, encoding="utf-8-sig")
    assert datasets.load(f"lfw:{lfw}").manifest == whole


def test_pairs_in_another_encoding_are_refused_by_their_line(lfw: Path):
    """Their pictures would count as missing."""
    (lfw / "pairs.txt").write_bytes(PAIRS.replace("Cal", "Cál").encode("latin-1"))
    first = 1 + PAIRS[: PAIRS.index("Cal")].count("\n")
    with pytest.raises(
        datasets.DataError, match=rf"pairs\.txt, line {first}: expected text in UTF-8"
    ):
        datasets.load(f"lfw:{lfw}")


def test_names_may_have_spaces_between_tabs(lfw: Path):
    of, spaced = datasets.load(f"lfw:{lfw}"), "Ann van der Bee"
    (lfw / "Ann_Bee").rename(lfw / spaced)
    for file in list((lfw / spaced).iterdir()):
        file.rename(file.with_name(file.name.replace("Ann_Bee", spaced)))
    (lfw / "pairs.txt").write_text(PAIRS.replace("Ann_Bee", spaced))
    data = datasets.load(f"lfw:{lfw}")
    assert data.pairs is not None and of.pairs is not None
    assert data.pairs.indices.tolist() == of.pairs.indices.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"pairs\.txt, line 1: expected the numbers of folds and pairs"),
        ("ten\t300\n", r"line 1: .*; got \['ten', '300'\]"),
        (PAIRS.replace("2\t1\n", "3\t1\n", 1), r"expected 6 pairs \(3 folds of 1 and 1\); got 4"),
        (PAIRS.replace("Cal\t2\t1", "Cal\ttwo\t1"), r"line 4: expected name, number, number; got"),
        (PAIRS.replace("Cal\t2\tDee\t1", "Cal\t2\t1"), "line 5: expected name, number, name, numb"),
        (PAIRS.replace("\t", " Cal\t"), "line 1"),
        (PAIRS.replace("Cal\t2\t1", "Cal\t2\t" + "1" * 5_000), "line 4: expected name, number"),
        (PAIRS.replace("Bee\t1\t2", "Bee\t1\t01"),
         r"pairs\.txt, line 2: expected two pictures; got Ann_Bee/Ann_Bee_0001 twice"),
        (PAIRS.replace("Dee\t1", "Cal\t1"),
         r"pairs\.txt, line 5: expected pictures of two people; got Cal twice"),
        ("1\t1\nNo\t1\t2\nNo\t1\tNone\t1\n", "expected pairs whose pictures are there; got"),
    ],
)  # fmt: skip
def test_damaged_pairs_are_named(lfw: Path, text: str, message: str):
    (lfw / "pairs.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        datasets.load(f"lfw:{lfw}")


def test_lfw_that_leaves_no_one_to_train_says_what_to_give(lfw: Path):
    for name in ("Eve", "Flo"):
        for file in (lfw / name).iterdir():
            file.unlink()
    with pytest.raises(InputError, match=r"two identities to train on.*\?train=/folder.*got 0"):
        datasets.load(f"lfw:{lfw}")
