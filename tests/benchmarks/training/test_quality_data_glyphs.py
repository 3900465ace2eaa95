"""Characters as identities, on fonts that the tests make: every fault of a font is found, counted
and left out, and the same fonts give the same pictures, from the cache or drawn anew."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from glyph_fonts import LETTERS, build, collect

from benchmarks.training.datasets import Missing, cache, fonts
from benchmarks.training.datasets.glyph_choice import Chooser
from benchmarks.training.datasets.glyphs import GlyphSet, rendered

ALPHABET = GlyphSet("letters", 6, 3, size=32, em=28, ranges=((ord("A"), ord("Z")),), least=10)
CHARACTERS = ALPHABET.characters()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARGINBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for style in range(4):
        build(tmp_path / "fonts" / f"bars{style}.ttf", style)
    return tmp_path / "fonts"


@contextlib.contextmanager
def silent(what: str, total: int) -> Iterator:
    yield lambda done: None


@contextlib.contextmanager
def never(what: str, total: int) -> Iterator:
    pytest.fail(f"rendered again: {what}")
    yield


def chosen(directory: Path, pictures: int = 1, least: int = 10) -> tuple[Chooser, dict[str, list]]:
    counts: Counter[str] = Counter()
    faces = fonts.faces(fonts.font_files(directory), CHARACTERS, least, counts)
    chooser = Chooser(faces, CHARACTERS, 32, 28, pictures, counts)
    return chooser, {chr(code): drawn for code, drawn in chooser.identities()}


def test_letters_become_identities_half_of_them_trained(directory: Path):
    data = rendered(ALPHABET, directory, silent)
    assert tuple(data.images.shape) == (18, 1, 32, 32)
    images = data.images[torch.arange(18)]
    assert images.dtype == torch.float32
    assert images.min() == 0 and 0.5 < images.max() <= 1
    assert len({image.numpy().tobytes() for image in images}) == 18
    assert torch.equal(data.identities, torch.arange(6).repeat_interleave(3))
    assert data.identities[data.rows("train")].unique().tolist() == [0, 2, 4]
    assert data.identities[data.rows("test")].unique().tolist() == [1, 3, 5]
    assert len(set(data.facts["characters"])) == 6 and set(data.facts["characters"]) < set(LETTERS)
    assert [font["file"] for font in data.facts["fonts"]] == [f"bars{i}.ttf" for i in range(4)]
    sums = [cache.sha256(directory / f"bars{i}.ttf") for i in range(4)]
    assert [font["sha256"] for font in data.facts["fonts"]] == sums


def test_a_picture_is_its_own_letter_with_its_ink_centred(directory: Path):
    """Against the letter's bars drawn as rectangles: hinting moves an edge by a pixel at most."""
    data = rendered(ALPHABET, directory, silent)
    bars = {letter: bar_columns(letter) for letter in LETTERS}
    for identity, letter in enumerate(data.facts["characters"]):
        for image in data.images[(data.identities == identity).nonzero()[:, 0]]:
            rows, columns = (np.flatnonzero(image[0].numpy().max(axis)) for axis in (1, 0))
            assert abs((rows[0] + rows[-1]) / 2 - 15.5) <= 0.5
            assert abs((columns[0] + columns[-1]) / 2 - 15.5) <= 0.5
            ink = image[0].numpy().max(0)
            nearest = min(LETTERS, key=lambda other: ((ink - bars[other]) ** 2).sum())
            assert nearest == letter


def bar_columns(letter: str) -> np.ndarray:
    """Ink by column (32): a bar of 0.07 em each 0.1 em, eight of them, 28 pixels an em."""
    fine = np.zeros(32 * 50)
    first = (32 - 0.77 * 28) / 2
    for bit in range(8):
        if (ord(letter) - 64) << 1 >> bit & 1 or bit in (0, 7):
            left = first + 2.8 * bit
            fine[round(left * 50) : round((left + 1.96) * 50)] = 1
    return fine.reshape(32, 50).mean(1)


def test_faults_of_fonts_are_left_out_and_counted(tmp_path: Path):
    directory = tmp_path / "fonts"
    build(
        directory / "faulty.ttf", 1, letters=LETTERS[:20], blank="A", undefined="BC",
        raising="DEF", borrowed={"G": "H"},
    )  # fmt: skip
    (directory / "broken.ttf").write_bytes(b"\0\1\0\0not a font")
    build(directory / "few.ttf", 2, letters="ABC")
    chooser, drawn = chosen(directory)
    # U to Z are not there at all.
    assert set(drawn) == set("IJKLMNOPQRST")
    assert chooser.counts["font files that cannot be read"] == 1
    assert chooser.counts["faces with too few of the characters"] == 1
    assert chooser.counts["glyphs that are blank"] == 1
    # B and C look like .notdef, G like H.
    assert chooser.counts["characters that a face maps to .notdef or draws as another"] == 4
    raised = {name: n for name, n in chooser.counts.items() if name.startswith("glyphs that raise")}
    assert list(raised.values()) == [3]
    assert next(iter(raised)).startswith("glyphs that raise OSError: invalid ")
    assert chooser.counts["characters with too few pictures after all"] == 4


def test_a_font_whose_program_fails_is_left_out(directory: Path):
    build(directory / "opcode.ttf", 5, invalid_program=True)
    chooser, drawn = chosen(directory)
    assert chooser.counts["faces that draw none of the probes"] == 1
    assert len(chooser.faces) == 4 and len(drawn) == 26
    counts: Counter[str] = Counter()
    face = fonts.faces([directory / "opcode.ttf"], CHARACTERS, 10, counts)[0]
    assert fonts.Pen(face, 32, 28).picture(ord("A"), counts) is None
    assert counts["glyphs that raise OSError: invalid opcode"] == 1


def test_copies_are_found_whatever_their_file_is_called(directory: Path):
    build(directory / "twin.ttf", 2, note="under another name")
    collect(directory / "both.ttc", [directory / "bars3.ttf", directory / "twin.ttf"])
    chooser, drawn = chosen(directory, pictures=4)
    assert chooser.counts["faces"] == 7
    assert chooser.counts["faces that are copies of another"] == 3
    assert len(chooser.faces) == 4
    assert len(drawn) == 26 and all(len(set(pictures)) == 4 for pictures in drawn.values())


def test_a_face_that_borrows_letters_gives_only_its_own(directory: Path, tmp_path: Path):
    """As many Japanese fonts do: new kana, another font's Han characters."""
    from fontTools.ttLib import TTFont

    own, other = TTFont(directory / "bars0.ttf"), TTFont(build(tmp_path / "other.ttf", 5))
    for letter in "ABCDEFGHIJKLM":
        own["glyf"][letter] = other["glyf"][letter]
    own.save(directory / "half.ttf")
    chooser, drawn = chosen(directory, pictures=5)
    assert set(drawn) == set("ABCDEFGHIJKLM")
    assert chooser.counts["pictures equal to another face's of the character"] == 13


def test_two_letters_drawn_alike_are_never_two_identities(tmp_path: Path):
    from fontTools.ttLib import TTFont

    font = TTFont(build(tmp_path / "made.ttf", 0))
    font["glyf"]["B"] = copy.deepcopy(font["glyf"]["A"])
    # Another outline with the same look: its side bearing puts it where A is.
    font["glyf"]["B"].coordinates.translate((250, 0))
    (tmp_path / "fonts").mkdir()
    font.save(tmp_path / "fonts" / "alike.ttf")
    chooser, drawn = chosen(tmp_path / "fonts")
    assert len(drawn) == 25 and len(set("AB") & set(drawn)) == 1
    assert chooser.counts["pictures equal to another character's"] == 1


def test_every_design_is_taken_before_any_design_twice(tmp_path: Path):
    names = ["one-thin", "one-bold", "one-black", "two", "three"]
    for style, name in enumerate(names):
        build(tmp_path / "fonts" / f"{name}.ttf", style)
    chooser, _ = chosen(tmp_path / "fonts", pictures=3)
    for column, code in enumerate(CHARACTERS.tolist()):
        turns = [pen.face.design for pen in chooser._in_turn(column, code)]
        assert sorted(turns[:3]) == ["one", "three", "two"]
        assert turns[3:] == ["one", "one"]


def test_the_letters_of_most_designs_come_first(tmp_path: Path):
    for style, letters in enumerate((LETTERS, LETTERS, LETTERS[13:])):
        build(tmp_path / "fonts" / f"bars{style}.ttf", style, letters=letters)
    _, drawn = chosen(tmp_path / "fonts", pictures=2)
    order = list(drawn)
    assert set(order[:13]) == set(LETTERS[13:]) and len(order) == 26
    assert order[:13] != sorted(order[:13]), "shuffled among equals"


def test_the_same_fonts_give_the_same_pictures_wherever_they_are(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = rendered(ALPHABET, directory, silent)
    assert rendered(ALPHABET, directory, never).manifest == first.manifest
    shutil.copytree(directory, tmp_path / "elsewhere" / "fonts")
    # Other paths and times, the same content: surveyed again, found in the cache.
    moved = rendered(ALPHABET, tmp_path / "elsewhere" / "fonts", never)
    assert moved.manifest == first.manifest
    monkeypatch.setenv("MARGINBENCH_CACHE", str(tmp_path / "another"))
    anew = rendered(ALPHABET, tmp_path / "elsewhere" / "fonts", silent)
    assert anew.manifest == first.manifest and anew.images is not first.images
    build(directory / "bars4.ttf", 6)
    assert rendered(ALPHABET, directory, silent).manifest != first.manifest


@pytest.mark.parametrize("damage", ["flipped", "cut", "no images", "no facts", "facts of text"])
def test_a_damaged_cache_is_rendered_anew(directory: Path, own_cache: Path, damage: str, seed: int):
    whole = rendered(ALPHABET, directory, silent).manifest
    place = next(p for p in own_cache.iterdir() if p.is_dir())
    images, facts = place / "images.npy", place / "facts.json"
    content = bytearray(images.read_bytes())
    if damage == "flipped":
        content[random.Random(seed).randrange(len(content))] ^= 1
        images.write_bytes(content)
    elif damage == "cut":
        images.write_bytes(content[:-1])
    elif damage == "no images":
        images.unlink()
    elif damage == "no facts":
        facts.unlink()
    else:
        facts.write_text("{")
    rendered_again = []

    @contextlib.contextmanager
    def heard(what: str, total: int) -> Iterator:
        rendered_again.append(what)
        yield lambda done: None

    assert rendered(ALPHABET, directory, heard).manifest == whole
    assert rendered_again == ["rendering letters"]
    assert [p.name for p in own_cache.iterdir() if p.is_dir()] == [place.name]


def test_rendering_that_fails_leaves_nothing_behind(directory: Path, own_cache: Path):
    @contextlib.contextmanager
    def stopped(what: str, total: int) -> Iterator:
        def advance(done: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

        yield advance

    with pytest.raises(KeyboardInterrupt):
        rendered(ALPHABET, directory, stopped)
    assert [p for p in own_cache.iterdir() if p.is_dir()] == []
    assert len(rendered(ALPHABET, directory, silent).identities) == 18


def test_too_few_fonts_say_what_installs_them(directory: Path):
    big = GlyphSet("letters", 20, 5, ranges=ALPHABET.ranges, least=10)
    with pytest.raises(Missing) as error:
        rendered(big, directory, silent)
    assert str(error.value) == (
        "letters needs 20 characters in 5 typefaces that differ; the 4 usable faces on this "
        "machine give 0: `make data` installs the fonts (Debian packages)"
    )
    build(directory / "bars4.ttf", 5, blank=LETTERS[:10])
    with pytest.raises(Missing, match="5 usable faces on this machine give 16: `make data`"):
        rendered(big, directory, silent)
    (directory / "empty").mkdir()
    with pytest.raises(Missing, match="the 0 usable faces"):
        rendered(ALPHABET, directory / "empty", silent)


def test_fonts_are_found_without_fc_list(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (directory / "link.ttf").symlink_to(directory / "bars0.ttf")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fonts, "DIRECTORIES", (str(directory), str(tmp_path / "not there")))
    assert [path.name for path in fonts.font_files()] == [f"bars{i}.ttf" for i in range(4)]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MARGINBENCH_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(Missing, match=f"MARGINBENCH_CACHE: expected a directory .*{os.sep}file"):
        cache.root()


def test_progress_is_a_plain_line_for_each_tenth(directory: Path, capfd: pytest.CaptureFixture):
    rendered(ALPHABET, directory)
    lines = capfd.readouterr().err.splitlines()
    assert lines == [f"rendering letters: {i} of 6" for i in range(1, 7)]
