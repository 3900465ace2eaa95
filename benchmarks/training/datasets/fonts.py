"""The typefaces of this machine: their files, faces and characters, and one glyph as a picture."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import cache

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont
    from PIL.ImageFont import FreeTypeFont

Glyph = bytes | str
ENDINGS = {".ttf", ".otf", ".ttc", ".otc"}
DIRECTORIES = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")
# Characters that no font has: what is drawn for one of them is the font's .notdef.
_NOWHERE = (0xFFFF, 0x10FFFF, 0xE123)
# Wide enough around a glyph for whatever a font draws outside of its square.
_MARGIN = 2


def font_files(directory: Path | None = None) -> list[Path]:
    """The font files of ``directory``, or of the machine: those that fc-list names or, without
    it, those in the usual directories. Each once, whatever links lead to it; in order."""
    if directory is not None:
        return _walked([directory])
    if shutil.which("fc-list"):
        listed = subprocess.run(
            ["fc-list", "--format", "%{file}\n"], capture_output=True, text=True, check=False
        )
        if listed.returncode == 0:
            named = {Path(line).resolve() for line in listed.stdout.splitlines()}
            return sorted(path for path in named if path.suffix.lower() in ENDINGS)
    return _walked([Path(name).expanduser() for name in DIRECTORIES])


def _walked(directories: Sequence[Path]) -> list[Path]:
    found = (path for directory in directories for path in directory.rglob("*"))
    return sorted({p.resolve() for p in found if p.suffix.lower() in ENDINGS and p.is_file()})


@dataclass(frozen=True)
class Face:
    """One face of a font file (a collection has several) and which of the characters asked for
    it says it has: bool, one a character."""

    path: Path
    index: int
    sha256: str
    has: np.ndarray

    @property
    def design(self) -> str:
        """The file's name up to a hyphen: the weights of one design usually share it."""
        return self.path.stem.partition("-")[0].lower()

    def plain(self) -> dict[str, Any]:
        return {"file": self.path.name, "index": self.index, "sha256": self.sha256}


def faces(
    files: Sequence[Path], characters: np.ndarray, least: int, counts: Counter[str]
) -> list[Face]:
    """The faces that say they have at least ``least`` of the characters (code points, ascending).

    A character drawn by the same outline as another, or as .notdef, is not had: a placeholder for
    one that was never drawn. It is counted, as are the faces left out.
    """
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it logs every oddity of a font
    found = []
    for path in files:
        try:
            maps = list(_character_maps(path))
        except Exception:  # a damaged font raises whatever its table made of it
            counts["font files that cannot be read"] += 1
            continue
        digest = ""
        for index, (table, undefined) in enumerate(maps):
            counts["faces"] += 1
            has = _had(table, undefined, characters)
            if has.sum() < least:
                counts["faces with too few of the characters"] += 1
                continue
            mapped = sum(code in table for code in characters.tolist())
            counts["characters that a face maps to .notdef or draws as another"] += mapped - int(
                has.sum()
            )
            digest = digest or cache.sha256(path)
            found.append(Face(path, index, digest, has))
    return found


def _character_maps(path: Path) -> Iterator[tuple[dict[int, Glyph], Glyph]]:
    """From code points to glyphs, and the .notdef, of each face of a file."""
    from fontTools.ttLib import TTCollection, TTFont

    if path.suffix.lower() in {".ttc", ".otc"}:
        with TTCollection(path, lazy=True) as collection:
            yield from map(_glyphs, collection.fonts)
        return
    with TTFont(path, lazy=True) as font:
        yield _glyphs(font)


def _glyphs(font: TTFont) -> tuple[dict[int, Glyph], Glyph]:
    """Glyphs stand for what they draw: the bytes of their outline where the font is TrueType, so
    that copies of the .notdef and placeholders are known; elsewhere, and if empty, their name."""
    names = font.getBestCmap() or {}
    if "glyf" not in font:
        return dict(names), ".notdef"
    outlines, begins = font.reader["glyf"], font["loca"].locations
    numbers = font.getReverseGlyphMap()

    def outline(number: int) -> bytes:
        return bytes(outlines[begins[number] : begins[number + 1]])

    drawn = {code: outline(numbers[name]) or name for code, name in names.items()}
    return drawn, outline(0)


def _had(table: dict[int, Glyph], undefined: Glyph, characters: np.ndarray) -> np.ndarray:
    glyphs = [table.get(character, undefined) for character in characters.tolist()]
    times = Counter(glyphs)
    return np.array([g not in (undefined, ".notdef") and times[g] == 1 for g in glyphs], dtype=bool)


class Pen:
    """Draws the characters of one face: ``size`` x ``size`` pixels, an em of ``em`` pixels, the
    glyph's ink centred, white on black, not scaled to fill the square."""

    def __init__(self, face: Face, size: int, em: int) -> None:
        self.face, self.size, self.em = face, size, em

    @cached_property
    def _font(self) -> FreeTypeFont:
        from PIL import ImageFont

        layout = ImageFont.Layout.BASIC
        return ImageFont.truetype(self.face.path, self.em, self.face.index, layout_engine=layout)

    @cached_property
    def _undefined(self) -> set[bytes]:
        drawn = (self._drawn(chr(code)) for code in _NOWHERE)
        return {picture for picture in drawn if picture is not None}

    def _drawn(self, character: str) -> bytes | None:
        """The picture's pixels, row by row; None if nothing was drawn."""
        from PIL import Image, ImageDraw

        canvas = Image.new("L", (self.em * (1 + 2 * _MARGIN),) * 2)
        draw = ImageDraw.Draw(canvas)
        draw.text((self.em * _MARGIN,) * 2, character, fill=255, font=self._font)
        box = canvas.getbbox()
        if box is None:
            return None
        left = (box[0] + box[2] - self.size) // 2
        top = (box[1] + box[3] - self.size) // 2
        return canvas.crop((left, top, left + self.size, top + self.size)).tobytes()

    def picture(self, code: int, counts: Counter[str]) -> bytes | None:
        """The character's picture (size * size bytes); None, counted by its reason, where the
        face has none after all."""
        try:
            picture = self._drawn(chr(code))
            undefined = self._undefined
        except Exception as error:  # a glyph's program that fails: OSError, and others
            counts[f"glyphs that raise {type(error).__name__}: {error}"] += 1
            return None
        if picture is None:
            counts["glyphs that are blank"] += 1
        elif picture in undefined:
            counts["glyphs that are .notdef"] += 1
        else:
            return picture
        return None
