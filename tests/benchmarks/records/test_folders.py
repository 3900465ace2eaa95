"""Whose a folder is: markers, records of older folders, and that nothing else is ever removed."""

from __future__ import annotations

import json
import lzma
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.records import folders, kinds, record_files
from benchmarks.records.folders import MARKER, Refused
from benchmarks.records.journal import Journal
from benchmarks.records.kinds import Kind
from commands.root import cli

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ROOT / "reports" / "published"


def published() -> Iterator[tuple[Path, Kind, set[str]]]:
    """Each committed folder, its kind, and what in it no command of that kind writes over."""
    yield PUBLISHED / "site", kinds.SITE, set()
    for folder in sorted(path.parent for path in PUBLISHED.glob("*/records.jsonl.xz")):
        yield folder, kinds.RUN, {"machine.json", "records.jsonl.xz"}
    for folder in sorted((PUBLISHED / "quality").iterdir()):
        yield folder, kinds.QUALITY, {"mlflow/runs.jsonl.xz"}
        yield folder / "mlflow", kinds.EXPORT, set()
    for folder in sorted((PUBLISHED / "gate-trust").iterdir()):
        yield folder, kinds.TRIAL, {"trust.jsonl.xz"}


@pytest.mark.parametrize(
    ("folder", "kind", "others"), list(published()), ids=lambda one: getattr(one, "name", "")
)
def test_published_folders_are_known_without_a_marker(folder: Path, kind: Kind, others: set[str]):
    """A clone has none: their records say what they are, and every page and figure is accounted
    for."""
    assert folders.found(folder) is kind
    every = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert kind.listed(folder) == every - others - {MARKER, f"mlflow/{MARKER}"}
    folders.check(folder, kind, "--out")
    for other in (one for one in kinds.KINDS if one is not kind):
        with pytest.raises(Refused):
            folders.check(folder, other, "--out")


def owned(folder: Path, *names: str) -> folders.Owned:
    made = folders.make(folder, kinds.COMPARISON, "--out")
    made.write(dict.fromkeys(names, "ours"))
    return made


def test_a_marker_says_who_made_the_folder_and_lists_what(tmp_path: Path):
    texts = []
    for place in ("a", "b"):
        owned(tmp_path / place, "index.html", "figures/one.svg")
        texts.append((tmp_path / place / MARKER).read_text())
    assert texts[0] == texts[1], "equal folders have equal markers: no time, no place"
    marker = json.loads(texts[0])
    assert (marker["kind"], marker["schema_version"]) == ("comparison", 1)
    assert marker["files"] == ["figures/one.svg", "index.html"]
    assert "only the files listed here" in marker["about"]
    assert folders.found(tmp_path / "a") is kinds.COMPARISON


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"schema_version": 1, "kind": "comparison", "files": {}}',
     '{"schema_version": 1, "kind": "letter", "files": []}',
     '{"schema_version": 1, "kind": ["comparison"], "files": []}',
     '{"schema_version": 2, "kind": "comparison", "files": []}',
     *(json.dumps({"schema_version": 1, "kind": "comparison", "files": [name]})
       for name in ("/etc/passwd", "../letter.txt", "figures/../../letter.txt", "", 3))],
)  # fmt: skip
def test_a_marker_that_can_not_be_trusted_is_no_permission(tmp_path: Path, text: str):
    (tmp_path / "letter.txt").write_text("dear")
    folder = tmp_path / "folder"
    owned(folder, "index.html")
    (folder / MARKER).write_text(text)
    for act in (folders.check, folders.make):
        with pytest.raises(Refused, match=f"--out: expected .*{MARKER}"):
            act(folder, kinds.COMPARISON, "--out")
    assert (folder / MARKER).read_text() == text and (tmp_path / "letter.txt").is_file()


def test_the_half_of_a_marker_is_no_file_of_theirs(tmp_path: Path):
    """A command was killed as it made the folder: the same command goes on."""
    (tmp_path / f".{MARKER}.4711").write_text("{")
    folders.check(tmp_path, kinds.GATE, "--out")
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(Refused, match=r"holds letter\.txt, and nothing says"):
        folders.check(tmp_path, kinds.GATE, "--out")


def test_a_file_is_listed_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever a kill leaves is the command's own the next time."""
    made = owned(tmp_path / "folder")
    whole = folders.files.write

    def killed(path: Path, content: str | bytes) -> None:
        whole(path, content)
        if path.name != MARKER:
            raise KeyboardInterrupt

    monkeypatch.setattr(folders.files, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        made.write({"figures/a.svg": "ours", "index.html": "ours"})
    monkeypatch.undo()
    again = folders.make(tmp_path / "folder", kinds.COMPARISON, "--out")
    again.write({"figures/a.svg": "anew", "index.html": "anew"})
    assert (tmp_path / "folder" / "figures" / "a.svg").read_text() == "anew"


def test_only_what_is_listed_is_removed(tmp_path: Path):
    folder = tmp_path / "folder"
    made = owned(folder, "figures/a.svg", "figures/b.svg", "x/y/c.svg")
    (folder / "figures" / "mine.svg").write_text("mine")
    made.drop(["figures/a.svg", "figures/mine.svg", "letter.txt", "x/y/c.svg"])
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert left == {MARKER, "figures", "figures/b.svg", "figures/mine.svg"}
    assert json.loads((folder / MARKER).read_text())["files"] == ["figures/b.svg"]


def test_what_lies_behind_a_link_is_never_written_or_removed(tmp_path: Path):
    folder, pictures = tmp_path / "folder", tmp_path / "pictures"
    made = owned(folder, "figures/a.svg", "index.html")
    shutil.move(folder / "figures", pictures)
    (folder / "figures").symlink_to(pictures)
    (tmp_path / "letter.html").write_text("dear")
    (folder / "index.html").unlink()
    (folder / "index.html").symlink_to(tmp_path / "letter.html")
    with pytest.raises(Refused, match="holds figures"):
        made.write({"figures/a.svg": "anew"})
    made.drop(["figures/a.svg"])
    assert (pictures / "a.svg").read_text() == "ours"
    made.write({"index.html": "anew"})  # the link was ours to replace, what it leads to is not
    assert (tmp_path / "letter.html").read_text() == "dear"
    assert (folder / "index.html").read_text() == "anew"


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path):
    made = owned(tmp_path / "folder", "index.html")
    (tmp_path / "folder" / "index.html").unlink()
    (tmp_path / "folder" / "index.html").mkdir()
    with pytest.raises(Refused, match=r"holds index\.html"):
        made.write({"index.html": "anew"})
    made.drop(["index.html"])
    assert (tmp_path / "folder" / "index.html").is_dir()


def test_a_journal_makes_no_lock_in_a_folder_of_somebody_elses(tmp_path: Path):
    """Whoever calls it, and not the command line alone."""
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(Refused):
        Journal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_trial_cuts_nothing_off_a_file_of_somebody_elses(tmp_path: Path):
    """Its own file loses a line that is cut off; this one has no line end."""
    from benchmarks.gate import trees, trust

    (tmp_path / trust.FILE).write_text('{"kind": "letter"}\n{"dear')
    both = trees.Trees(ROOT, ROOT, "c0ffee", "c0ffee", False, "c0ffee")
    with pytest.raises(Refused):
        trust.run(trust.SMOKE, both, tmp_path, seed=0)
    assert (tmp_path / trust.FILE).read_text() == '{"kind": "letter"}\n{"dear'


@pytest.mark.parametrize("first", ["", "{", "[1]", '{"kind": "session"}', '{"mine": 1}'])
@pytest.mark.parametrize("name", [*record_files.FILES, "gate.jsonl", "trust.jsonl", "runs.jsonl",
                                  "manifest.json"])  # fmt: skip
def test_a_file_of_that_name_that_is_no_record_of_ours_shows_nothing(
    tmp_path: Path, name: str, first: str
):
    (tmp_path / name).write_text(f"{first}\n")
    assert folders.found(tmp_path) is None


def test_a_damaged_entry_of_the_cache_with_a_file_of_theirs_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from benchmarks.training.datasets import cache
    from marginbench.checks import InputError

    def make(place: Path) -> None:
        (place / "facts.json").write_text("{}")

    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    place = tmp_path / "glyphs"
    place.mkdir()
    (place / "facts.json").write_text("damaged")
    (place / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"letter\.txt: it is left"):
        cache.entry("glyphs", make, lambda place: False)
    assert {path.name for path in place.iterdir()} == {"facts.json", "letter.txt"}
    (place / "letter.txt").unlink()
    assert (cache.entry("glyphs", make, lambda place: False) / "facts.json").read_text() == "{}"


def test_mlflow_is_put_into_no_database_of_somebody_elses(tmp_path: Path):
    pytest.importorskip("mlflow")
    from benchmarks.training.tracking.store import Store

    path = tmp_path / "mine.db"
    with sqlite3.connect(path) as mine:
        mine.execute("CREATE TABLE letters (text TEXT)")
    mine.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="expected a database of MLflow or none"):
        Store(tmp_path, f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["mine.db"]


def test_a_picture_is_written_into_a_new_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from reports import pdf

    monkeypatch.setattr(pdf, "_made", lambda page, name, *_: b"drawn")
    page = tmp_path / "page.html"
    page.write_text("a page")
    (tmp_path / "mine.png").write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        pdf.main([str(page), str(tmp_path / "mine.png")])
    assert (tmp_path / "mine.png").read_text() == "mine"
    assert "OUT: expected a new file" in capsys.readouterr().err
    assert pdf.main([str(page), str(tmp_path / "new.png")]) == 0
    assert (tmp_path / "new.png").read_bytes() == b"drawn"


def test_nothing_is_appended_beside_a_packed_trial(tmp_path: Path):
    """It would be a second record, and the folder could be drawn no more."""
    session = {"kind": "session", "rule": {}, "unit_ns": 100}
    packed = lzma.compress(json.dumps(session).encode() + b"\n")
    (tmp_path / "trust.jsonl.xz").write_bytes(packed)
    done = CliRunner().invoke(cli, ["gate-trust", "--out", str(tmp_path)])
    assert done.exit_code == 2 and "nothing can be appended" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["trust.jsonl.xz"]


def test_an_empty_address_is_no_store_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["quality", "import", ".", "--store", ""])
    assert done.exit_code == 2 and "--store" in done.output and not list(tmp_path.iterdir())
