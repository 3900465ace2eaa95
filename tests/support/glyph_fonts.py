"""Small fonts with known faults, for the tests of the glyphs: Latin letters as bars in a square."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
EM = 1_000


def build(
    path: Path,
    style: int,
    *,
    letters: str = LETTERS,
    blank: Collection[str] = (),
    undefined: Collection[str] = (),
    raising: Collection[str] = (),
    borrowed: dict[str, str] | None = None,
    invalid_program: bool = False,
    note: str = "",
) -> Path:
    """A TrueType font whose letters are bars that spell their code in a way of each ``style``.

    ``undefined`` letters have a glyph of their own that looks like .notdef, ``raising`` ones a
    damaged outline, ``borrowed`` ones the glyph of another letter. ``invalid_program`` gives the
    font's program an instruction that does not exist, so that every glyph raises.
    ``note`` changes the file without changing a glyph.
    """
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from fontTools.ttLib import newTable
    from fontTools.ttLib.tables.ttProgram import Program

    def bars(code: int, height: int) -> object:
        pen = TTGlyphPen(None)
        for bit in range(8):
            if code >> bit & 1:
                left = 100 * bit
                corners = ((left, 0), (left, height), (left + 70, height), (left + 70, 0))
                pen.moveTo(corners[0])
                for corner in corners[1:]:
                    pen.lineTo(corner)
                pen.closePath()
        return pen.glyph()

    height = 400 + 100 * style
    glyphs = {".notdef": bars(0b11111111, 900)}
    for letter in letters:
        # The frame of the outermost bars keeps ink where it is when it is centred.
        code = 0 if letter in blank else (ord(letter) - 64) << 1 | 0b10000001
        glyphs[letter] = bars(0b11111111, 900) if letter in undefined else bars(code, height)
    builder = FontBuilder(EM, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(c): (borrowed or {}).get(c, c) for c in letters})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (EM, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": f"Bars {style} {note}", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, sTypoDescender=-100, usWinAscent=900, usWinDescent=100)
    builder.setupPost()
    # Without a program FreeType takes the font for one without hints and makes up its own, which
    # moves the bars: so there is one that pushes and pops.
    builder.font["maxp"].maxStackElements = 10
    programs = {"prep": b"\xb0\x00\x21" * 3}
    if invalid_program:
        programs["fpgm"] = b"\x28"  # not an instruction
    for name, code in programs.items():
        builder.font[name] = table = newTable(name)
        table.program = Program()
        table.program.fromBytecode(code)
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.save(path)
    _break(path, raising)
    return path


def _break(path: Path, letters: Collection[str]) -> None:
    """The letters' glyphs now claim more contours than their points have."""
    from fontTools.ttLib import TTFont

    with TTFont(path) as font:
        begins, table = font["loca"].locations, font.reader.tables["glyf"].offset
        places = [table + begins[font.getGlyphID(letter)] for letter in letters]
    content = bytearray(path.read_bytes())
    for place in places:
        content[place : place + 2] = (30_000).to_bytes(2, "big")
    path.write_bytes(content)


def collect(path: Path, fonts: Collection[Path]) -> Path:
    """The fonts as one collection."""
    from fontTools.ttLib import TTCollection, TTFont

    collection = TTCollection()
    collection.fonts = [TTFont(font) for font in fonts]
    collection.save(path)
    return path
