"""Datasets from files: Fashion-MNIST's IDX files, folders of images, and LFW with its pairs; on
small trees that the tests make, whole and damaged."""

from __future__ import annotations

import dataclasses
import gzip
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.training import datasets, training
from benchmarks.training.datasets import Missing, fashion
from benchmarks.training.datasets.images import FileImages
from benchmarks.training.queueing import failed
from marginbench.checks import InputError
from suites.quality import protocol


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return bytes([0, 0, kind, array.ndim]) + sides + array.astype(np.uint8).tobytes()


@pytest.fixture
def fashion_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> Path:
    """40 training and 20 test images of 5 x 4 pixels, ten classes in turns; two files gzipped."""
    random = np.random.default_rng(seed)
    for part, count in (("train", 40), ("t10k", 20)):
        images = idx(random.integers(0, 256, (count, 5, 4)))
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = gzip.compress(idx(np.arange(count) % 10))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(labels)
    monkeypatch.setenv(fashion.PATH_VARIABLE, str(tmp_path))
    return tmp_path


def test_fashion_is_split_by_class_with_tops_and_shoes_on_both_sides(fashion_files: Path):
    data = datasets.load("fashion")
    members = {k: set(data.identities[rows].tolist()) for k, rows in data.splits.items()}
    assert members == {"train": {0, 3, 4, 5, 9}, "seen": {0, 3, 4, 5, 9}, "test": {1, 2, 6, 7, 8}}
    tops, shoes = {0, 2, 4, 6}, {5, 7, 9}
    for side in (members["train"], members["test"]):
        assert len(side & tops) == 2 and side & shoes
    assert data.rows("train").max() < 40 <= min(data.rows("seen").min(), data.rows("test").min())
    assert [len(data.rows(name)) for name in ("train", "seen", "test")] == [20, 10, 10]
    written = (fashion_files / "t10k-images-idx3-ubyte").read_bytes()[16:]
    expected = np.frombuffer(written, dtype=np.uint8).reshape(20, 1, 5, 4) / np.float32(255)
    assert np.array_equal(data.images[torch.arange(40, 60)].numpy(), expected)


def test_fashion_closed_trains_all_ten(fashion_files: Path):
    data = datasets.load("fashion-closed")
    assert set(data.splits) == {"train", "seen"}
    assert torch.equal(data.rows("train"), torch.arange(40))
    assert torch.equal(data.rows("seen"), torch.arange(40, 60))
    assert torch.equal(data.labels("seen"), torch.arange(20) % 10)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"", "00 00 08 and the dimensions.*; got a file that begins"),
        ("train-images-idx3-ubyte", b"\x1f\x8b\x08\0", "begins with 1f 8b 08 00"),
        ("train-images-idx3-ubyte", idx(np.zeros((2, 5, 4)), 0x0D), "begins with 00 00 0d 03"),
        ("train-images-idx3-ubyte", idx(np.zeros((40, 5, 4)))[:-1], "expected 800 .*; got 799"),
        ("train-images-idx3-ubyte", idx(np.zeros((40, 5, 4)))[:9], "got 0"),
        ("train-images-idx3-ubyte", idx(np.zeros((39, 5, 4))), r"got shapes \(39, 5, 4\) and \(4"),
        ("train-labels-idx1-ubyte", idx(np.full(40, 10)), "labels 0 to 9; got 10"),
        ("t10k-labels-idx1-ubyte.gz", gzip.compress(idx(np.zeros(20)))[:-9], "a whole gzip file"),
        ("train-images-idx3-ubyte", idx(np.zeros((0, 5, 4))), r"not empty; got sides \[0, 5, 4\]"),
        ("train-labels-idx1-ubyte", idx(np.full(40, 1)), "two images .* of each.*0 of label 0"),
        ("t10k-labels-idx1-ubyte.gz", gzip.compress(idx(np.arange(20) // 2 % 9)), "0 of label 9"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((20, 5, 5))), r"of one size; got \(5, 4\) and \(5"),
        ("t10k-images-idx3-ubyte", b"\0\0\x08\x80" + b"\0\0\0\1" * 128 + b"x", "N x H x W images"),
    ],
    ids=range(13),
)
def test_damaged_idx_files_are_named(fashion_files: Path, name: str, content: bytes, message: str):
    (fashion_files / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        datasets.load("fashion")
    assert name in str(error.value)


def test_missing_idx_files_say_what_installs_them(
    fashion_files: Path, monkeypatch: pytest.MonkeyPatch
):
    (fashion_files / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(Missing, match=r"neither t10k-images-idx3-ubyte nor .*\.gz"):
        datasets.load("fashion")
    monkeypatch.setenv(fashion.PATH_VARIABLE, str(fashion_files / "nowhere"))
    with pytest.raises(Missing, match=r"`make data` installs it .*dataset-fashion-mnist"):
        datasets.load("fashion")


def picture(shade: int, size: tuple[int, int] = (6, 8), kind: str = "PNG") -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", size, (shade, 2 * shade, 0)).save(file, kind)
    return file.getvalue()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Six identities with three pictures each, picture i of identity p in the shade 10 p + i."""
    for p in range(6):
        (tmp_path / f"p{p}").mkdir()
        for i in range(3):
            (tmp_path / f"p{p}" / f"{i}.png").write_bytes(picture(10 * p + i))
    return tmp_path


def shades(data: datasets.Dataset, rows: torch.Tensor) -> list[int]:
    return (data.images[rows][:, 0, 0, 0] * 255).round().int().tolist()


def test_a_folder_trains_half_of_its_identities_chosen_by_their_names(faces: Path):
    data = datasets.load(f"folder:{faces}?size=4x3")
    assert tuple(data.images.shape) == (18, 3, 4, 3)
    assert data.images[torch.arange(2)].shape == (2, 3, 4, 3)
    assert isinstance(data.images, FileImages), "streamed"
    # sha256sum gives 169b... for p0, 3946... for p2, 43bb... for p3; p5, p4 and p1 come after.
    assert {s // 10 for s in shades(data, data.rows("train"))} == {0, 2, 3}
    assert {s // 10 for s in shades(data, data.rows("test"))} == {1, 4, 5}
    for split in ("train", "test"):
        by_label = list(zip(shades(data, data.rows(split)), data.labels(split), strict=True))
        assert len({(shade // 10, int(label)) for shade, label in by_label}) == 3
    assert data.facts["identities"] == {"train": 3, "test": 3}
    assert data.facts["skipped"] == {}


def test_a_folder_is_resized_and_grey_if_asked(faces: Path):
    from PIL import Image

    grey = datasets.load(f"folder:{faces}?size=5&grey=1")
    assert tuple(grey.images.shape) == (18, 1, 5, 5)
    image = Image.new("RGB", (9, 7))
    image.putdata([(x, 2 * x, 255 - x) for x in range(63)])
    image.save(faces / "p3" / "0.png")
    expected = np.asarray(image.resize((3, 4), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    data = datasets.load(f"folder:{faces}?size=4x3")
    row = next(i for i, file in enumerate(data.images.files) if file.name == "p3/0.png")
    assert np.array_equal((data.images[torch.tensor(row)] * 255).round().numpy(), expected)


def test_what_is_no_identity_or_no_image_is_skipped_counted_and_reported_once(
    faces: Path, caplog: pytest.LogCaptureFixture
):
    whole = datasets.load(f"folder:{faces}").manifest
    (faces / "one").mkdir()
    (faces / "one" / "0.jpg").write_bytes(picture(1, kind="JPEG"))
    (faces / "none").mkdir()
    (faces / "p0" / "text.png").write_text("no image")
    (faces / "p0" / "empty.jpg").write_bytes(b"")
    (faces / "p0" / "notes.txt").write_text("not looked at")
    (faces / "list.txt").write_text("not looked at")
    data = datasets.load(f"folder:{faces}")
    assert data.facts["skipped"] == {
        "identities without a picture": {"count": 1, "first": ["none"]},
        "identities with fewer than 2 pictures": {"count": 1, "first": ["one"]},
        "files without the header of an image": {
            "count": 2, "first": ["p0/empty.jpg", "p0/text.png"],
        },
    }  # fmt: skip
    datasets.load(f"folder:{faces}")
    assert [record.getMessage() for record in caplog.records] == [
        f"folder:{faces}: left out: identities without a picture: 1 (none)",
        f"folder:{faces}: left out: identities with fewer than 2 pictures: 1 (one)",
        f"folder:{faces}: left out: files without the header of an image: 2 "
        "(p0/empty.jpg, p0/text.png)",
    ]
    assert data.manifest == whole
    (faces / "p0" / "0.png").write_bytes(picture(99, (7, 9)))
    assert datasets.load(f"folder:{faces}").manifest != whole


def test_an_image_cut_short_is_named_when_it_is_decoded(faces: Path):
    cut_short(faces / "p3" / "1.png")
    data = datasets.load(f"folder:{faces}")
    row = next(i for i, file in enumerate(data.images.files) if file.name == "p3/1.png")
    with pytest.raises(InputError, match=r"image .*p3/1\.png: expected a file that Pillow can"):
        data.images[torch.tensor([0, row])]
    others = torch.arange(18)[torch.arange(18) != row]
    assert len(data.images[others]) == 17


def cut_short(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"IDAT") + 8])


def test_a_training_names_every_image_that_cannot_be_decoded(faces: Path, seed: int):
    names = ["p0/2.png", "p3/0.png", "p3/1.png", "p1/0.png"]  # as the folder is split
    for name in names:
        cut_short(faces / name)
    of = f"folder:{faces}?size=16"
    result = training.run(protocol.closed(of, [seed], losses=["softmax"])[0])
    assert result.status == "not_run" and not failed(result), "not the suite's fault"
    assert result.reason == (
        f"dataset {of}: images: expected files that Pillow can decode; got 4 of 18 that it can't: "
        + ", ".join(str(faces / name) for name in names)
    )


def test_ten_images_are_named_and_the_others_counted(faces: Path):
    for p in range(4):
        for i in range(3):
            cut_short(faces / f"p{p}" / f"{i}.png")
    images = datasets.load(f"folder:{faces}").images
    assert isinstance(images, FileImages)
    listed = images.undecodable()
    assert listed.count(".png") == 10 and listed.endswith(" and 2 more")


def test_a_folder_that_is_too_small_is_no_fault_of_the_suite(tmp_path: Path, seed: int):
    job = protocol.closed(f"folder:{tmp_path}", [seed], losses=["softmax"])[0]
    result = training.run(job)
    assert result.reason.startswith(f"dataset folder:{tmp_path}: identities: expected at least 4")
    assert not failed(result)


def test_threads_may_decode_from_one_source(faces: Path):
    data = datasets.load(f"folder:{faces}?size=4")
    batches = [torch.arange(18).roll(k) for k in range(40)]
    with ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(data.images.__getitem__, batches))
    straight = data.images[torch.arange(18)]
    for rows, images in zip(batches, decoded, strict=True):
        assert torch.equal(images, straight[rows])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=0x4", "size: expected height x width in pixels.*'0x4'"),
        ("size=1x2x3", "size: expected height x width"),
        ("grey=yes", "grey: expected 0 or 1; got 'yes'"),
        ("size=" + "9" * 5_000, "size: expected height x width"),
        ("gray=1", "option: expected one of size, grey; got 'gray'"),
        ("train=/x", "option: expected one of size, grey; got 'train'"),
    ],
)
def test_options_of_a_folder_are_checked(faces: Path, options: str, message: str):
    with pytest.raises(InputError, match=message):
        datasets.load(f"folder:{faces}?{options}")


def test_folders_that_cannot_be_used_say_why(tmp_path: Path):
    with pytest.raises(Missing, match="nowhere is not a directory: give one that has a directory"):
        datasets.load(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(InputError, match=r"at least 4 directories with 2 images.*got 0"):
        datasets.load(f"folder:{tmp_path}")


@pytest.mark.parametrize("loss", ["softmax", "triplet"])
def test_a_small_folder_is_trained_by_its_recipe(faces: Path, loss: str, seed: int):
    """Its P x K is that of thousands of identities; three are there, with three images each."""
    (faces / "alone").mkdir()
    (faces / "alone" / "0.png").write_bytes(picture(1))
    of = protocol.closed(f"folder:{faces}?size=16", [seed], losses=[loss])[0]
    short = dataclasses.replace(of, settings=dataclasses.replace(of.settings, epochs=2))
    result = training.run(short)
    assert (result.status, result.reason) == ("ok", "")
    settings = result.settings
    assert (settings["identities_per_batch"], settings["images_per_identity"]) == (3, 3)
    assert (settings["batch"], settings["steps"]) == (9, 2)
    assert (
        "P x K = 64 x 4 was asked for, and fitted to the 9 images"
        in (settings["protocol"]["batch"])
    )
    skipped = settings["dataset_facts"]["skipped"]
    assert skipped["identities with fewer than 2 pictures"]["count"] == 1
    assert result.job == short.plain(), "the job stays what was asked for"
