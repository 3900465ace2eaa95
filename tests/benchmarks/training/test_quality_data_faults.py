"""Pictures, names and links of an image folder that are not as they should be: read as they are
meant, left out with a notice, or refused by name; never taken for something else in silence."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_quality_data_files import picture, shades

from benchmarks.training import datasets, memory, training
from benchmarks.training.datasets import DataError, Undecodable
from benchmarks.training.datasets.images import File, FileImages
from benchmarks.training.queueing import failed
from suites.quality import protocol


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Six identities with three pictures each, picture i of identity p in the shade 10 p + i. The
    SHA-256 of p0, p2 and p3 come first: they are trained, the others tested."""
    for p in range(6):
        (tmp_path / f"p{p}").mkdir()
        for i in range(3):
            (tmp_path / f"p{p}" / f"{i}.png").write_bytes(picture(10 * p + i))
    return tmp_path


def twelve_bits() -> bytes:
    """A TIFF of two grey pixels, white and black, in 12 bits each: Pillow reads it, as 16 bits."""
    # Width, height, bits, compression, photometric, offset, channels, rows a strip, bytes a strip.
    values = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 122, 277: 1, 278: 1, 279: 3}
    tags = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in values.items())
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + tags + bytes(4) + b"\xff\xf0\x00"


def as_images(root: Path, name: str, size: tuple[int, int], grey: bool) -> torch.Tensor:
    return FileImages((File(root, name, 1),), size, grey)[torch.tensor([0])]


@pytest.mark.parametrize("name", ["a.png", "little.tiff", "big.tiff", "a.pgm"])
@pytest.mark.parametrize("grey", [True, False])
def test_sixteen_bits_are_scaled_by_their_full_range(
    tmp_path: Path, seed: int, name: str, grey: bool
):
    values = np.random.default_rng(seed).integers(0, 65_536, (5, 7), dtype=np.uint16)
    values[0, :3] = 0, 65_535, 255
    mode = "I;16B" if name == "big.tiff" else "I;16"
    stored = values.astype(">u2") if mode == "I;16B" else values
    Image.frombytes(mode, (7, 5), stored.tobytes()).save(tmp_path / name)
    images = as_images(tmp_path, name, (5, 7), grey) * 255
    assert images.shape == (1, 1 if grey else 3, 5, 7)
    assert np.array_equal(images.round().numpy()[0, -1], np.round(values / 257))


@pytest.mark.parametrize(
    ("content", "format_name"),
    [
        (np.full((8, 6), 0.5, dtype=np.float32), r"mode F \(floats\)"),
        (np.full((8, 6), 70_000, dtype=np.int32), r"mode I \(32 or signed 16 bits\)"),
        (twelve_bits(), r"mode I;16 \(12 bits\)"),
    ],
    ids=["floats", "32 bits", "12 bits"],
)
def test_pictures_whose_white_is_not_known_are_refused(
    faces: Path, content: np.ndarray | bytes, format_name: str
):
    path = faces / "p3" / "deep.tiff"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        Image.fromarray(content).save(path)
    message = (
        rf"image .*p3/deep\.tiff: expected 8 or 16 bits a channel.*; got Pillow's {format_name}"
    )
    with pytest.raises(DataError, match=message):
        datasets.load(f"folder:{faces}")
    with pytest.raises(Undecodable, match=message):
        as_images(faces, "p3/deep.tiff", (8, 6), grey=False)


@pytest.mark.parametrize("name", [".ipynb_checkpoints", ".git", "__MACOSX"])
def test_a_hidden_folder_is_no_identity(faces: Path, caplog: pytest.LogCaptureFixture, name: str):
    whole = datasets.load(f"folder:{faces}")
    shutil.copytree(faces / "p0", faces / name)
    data = datasets.load(f"folder:{faces}")
    assert data.manifest == whole.manifest
    assert data.facts["skipped"] == {"hidden folders": {"count": 1, "first": [name]}}
    assert caplog.messages == [f"folder:{faces}: left out: hidden folders: 1 ({name})"]


def test_hidden_pictures_are_left_out_and_counted(faces: Path):
    whole = datasets.load(f"folder:{faces}").manifest
    for name in (".0.png", "._0.png", ".DS_Store"):
        (faces / "p0" / name).write_bytes(picture(99))
    data = datasets.load(f"folder:{faces}")
    assert data.manifest == whole
    assert data.facts["skipped"] == {
        "hidden pictures": {"count": 2, "first": ["p0/.0.png", "p0/._0.png"]}
    }


def copy_picture(faces: Path, source: str, target: str) -> None:
    (faces / target).write_bytes((faces / source).read_bytes())


def test_no_picture_of_a_folder_is_both_trained_and_tested(faces: Path):
    """One more among a person's, another person who is there twice; what is twice in one folder
    stays."""
    copy_picture(faces, "p1/1.png", "p0/x.png")
    for i in range(3):
        copy_picture(faces, f"p4/{i}.png", f"p2/{i}.png")
    copy_picture(faces, "p3/0.png", "p3/x.png")
    data = datasets.load(f"folder:{faces}")
    assert shades(data, data.rows("train")) == [0, 1, 2, 30, 31, 32, 30]
    assert sorted(shades(data, data.rows("test"))) == [10, 11, 12, 40, 41, 42, 50, 51, 52]
    assert data.facts["identities"] == {"train": 2, "test": 3}
    copied = ["p0/x.png", "p2/0.png", "p2/1.png", "p2/2.png"]
    assert data.facts["skipped"] == {
        "training files byte-equal to a tested one": {"count": 4, "first": copied},
        "training identities with no picture but those tested": {"count": 1, "first": ["p2"]},
    }


def test_copies_that_leave_no_two_to_train_on_are_refused(faces: Path):
    for i in range(3):
        copy_picture(faces, f"p4/{i}.png", f"p2/{i}.png")
        copy_picture(faces, f"p5/{min(i, 1)}.png", f"p3/{i}.png")
    with pytest.raises(DataError, match=r"two identities to train on whose images .*; got 1 \("):
        datasets.load(f"folder:{faces}")


def test_symbolic_links_that_lead_to_themselves_are_left_out(faces: Path):
    whole = datasets.load(f"folder:{faces}").manifest
    for name in ("a", "p0/x.png", "p0/notes.txt"):
        (faces / name).symlink_to(Path(name).name)
    data = datasets.load(f"folder:{faces}")
    assert data.manifest == whole
    assert data.facts["skipped"] == {
        "symbolic links that lead to themselves": {"count": 2, "first": ["a", "p0/x.png"]}
    }


@pytest.mark.parametrize(("before", "after"), [(b"p0", b"Jos\xe9"), (b"p1/2.png", b"p1/\xe9.png")])
def test_a_name_that_is_not_utf8_is_refused_and_can_be_printed(
    faces: Path, seed: int, before: bytes, after: bytes
):
    (faces / os.fsdecode(before)).rename(faces / os.fsdecode(after))
    of = f"folder:{faces}?size=16"
    result = training.run(protocol.closed(of, [seed], losses=["softmax"])[0])
    assert result.status == "not_run" and not failed(result), "not the suite's fault"
    last = after.rpartition(b"/")[2]
    assert result.reason == (
        f"dataset {of}: {faces}/{after.decode('utf-8', 'backslashreplace')}: expected a name in "
        f"UTF-8; got {last!r}"
    )
    with pytest.raises(DataError, match=r"path: expected a name in UTF-8; got /caf\\xe9\?grey=1"):
        datasets.load(os.fsdecode(b"folder:/caf\xe9?grey=1"))


def test_hidden_names_that_are_not_utf8_are_counted_as_text(faces: Path):
    (faces / os.fsdecode(b".Jos\xe9")).mkdir()
    skipped = datasets.load(f"folder:{faces}").facts["skipped"]
    assert skipped == {"hidden folders": {"count": 1, "first": [r".Jos\xe9"]}}


def test_images_too_large_for_the_memory_are_no_fault_of_the_suite(
    faces: Path, seed: int, monkeypatch: pytest.MonkeyPatch
):
    of = f"folder:{faces}?size=99999"
    monkeypatch.setattr(memory, "machine_bytes", lambda: 8 * 2**30)
    result = training.run(protocol.closed(of, [seed], losses=["softmax"])[0])
    assert result.status == "not_run" and not failed(result)
    assert result.reason == (
        f"dataset {of}: images: expected a batch that fits into this machine's 8 GiB of memory; "
        "got 18 of 3 x 99,999 x 99,999: 2,012 GiB"
    )


def test_the_machine_has_memory():
    assert 2**28 < memory.machine_bytes() < 2**50
