"""No command touches a folder that is not its own: every command that writes, in every situation.

`test_out_declared` holds the table of commands against the command line's own declarations.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from writing_commands import MAKERS, WRITERS, Bench, Said, Writer, stand_ins

from benchmarks.records import folders, kinds
from benchmarks.training import tracking

# One of every name that a command writes, and a web application's own manifest.
THEIRS = (
    "letter.txt", "index.html", "report.md", "results.csv", "summary.json", "report.pdf",
    "summary.md", "table.txt", "junit.xml", "benchmark.json", "manifest.json", "runs.jsonl",
    "trust.jsonl", "figures/mine.svg", "figures/drawn.svg", "artifacts/k1/roc.png",
    "mlflow/runs.jsonl", "logs/mine.log", ".hidden",
)  # fmt: skip
NAMES = ["/".join(key) for key in WRITERS]
BY_NAME = dict(zip(NAMES, WRITERS.values(), strict=True))
TAKERS = [name for name in NAMES if BY_NAME[name].made]
# Whose folders hold a record that others look for first.
RECORDED = (kinds.RUN, kinds.GPU, kinds.QUALITY)
PAGELESS = ("gpu/out", "publish/out", "quality sync/run_dir")
NO_FIGURES = (
    "gpu/out", "quality sync/run_dir", "quality export/target", "quality publish/target",
)  # fmt: skip
DRAWERS = [name for name in NAMES if BY_NAME[name].takes and name not in NO_FIGURES]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        stand_ins(patch)
        yield Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def made(bench: Bench) -> dict[str, Path]:
    """A folder of each command that makes one, as it leaves it."""
    found = {}
    for command, writer in MAKERS.items():
        found[command] = bench.root / "made" / command.replace(" ", "-")
        done = bench.call(writer, str(found[command]))
        assert done.code == 0, done.output
        assert folders.found(found[command]) is writer.made
    return found


def content(folder: Path) -> dict[str, Any]:
    """Every name in a folder, with bytes, and links with where they lead."""
    every = [Path(at, name) for at, dirs, files in os.walk(folder) for name in [*dirs, *files]]
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink()
        else path.read_bytes() if path.is_file() else "a folder"
        for path in every
    }  # fmt: skip


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"my own {name}")
    return folder


def refused(done: Said, writer: Writer, folder: Path, before: dict[str, Any]) -> None:
    """With code 2, in one line that names the option and the folder, before anything was done."""
    assert done.code == 2, done.output
    assert content(folder) == before and not done.worked
    (line,) = [one for one in done.output.splitlines() if one.lower().startswith("error")]
    assert writer.option in line and str(folder) in line, line


def as_left(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "folder"))


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_somebody_elses_is_left_as_it_is(bench: Bench, tmp_path: Path, name: str):
    writer, folder = BY_NAME[name], fill(tmp_path / "folder", *THEIRS)
    before = content(tmp_path)
    done = bench.call(writer, str(folder))
    assert content(tmp_path) == before
    if writer.made:
        refused(done, writer, folder, content(folder))
        assert ".hidden, artifacts and 16 more" in done.output
    assert done.code in (2, 3) and "error" in done.output.lower(), "a record is looked for first"


@pytest.mark.parametrize("name", TAKERS)
def test_one_file_of_somebody_elses_is_enough(bench: Bench, tmp_path: Path, name: str):
    """Of any name, be it one that a command of ours goes by."""
    for theirs in (".hidden", "report.md", "manifest.json", "runs.jsonl", "trust.jsonl", "a/b/c"):
        folder = fill(tmp_path / theirs.replace("/", "-"), theirs)
        before = content(folder)
        refused(bench.call(BY_NAME[name], str(folder)), BY_NAME[name], folder, before)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_path_is_not_the_current_folder(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.chdir(tmp_path)
    done = bench.call(BY_NAME[name], "")
    assert done.code == 2 and "empty path" in done.output, done.output
    assert BY_NAME[name].option in done.output and content(tmp_path) == {}


@pytest.mark.parametrize("name", TAKERS)
def test_the_current_folder_is_judged_like_any_other(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    writer = BY_NAME[name]
    for place in ("theirs", "empty"):
        (tmp_path / place).mkdir()
    fill(tmp_path / "theirs", "letter.txt")
    monkeypatch.chdir(tmp_path / "theirs")
    done = bench.call(writer, ".")
    assert done.code == 2 and "letter.txt" in done.output
    assert content(tmp_path / "theirs") == {"letter.txt": b"my own letter.txt"}
    if name == "publish/out":
        return  # it puts another folder in its place, which can't be done to where one stands
    monkeypatch.chdir(tmp_path / "empty")
    assert bench.call(writer, ".").code == 0
    assert folders.found(Path()) is writer.made


@pytest.mark.parametrize("name", NAMES)
def test_a_file_and_a_link_to_nothing_are_refused(bench: Bench, tmp_path: Path, name: str):
    (tmp_path / "file").write_text("my own")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = content(tmp_path)
    for place in ("file", "link"):
        done = bench.call(BY_NAME[name], str(tmp_path / place))
        assert done.code in ((2,) if BY_NAME[name].made else (2, 3)), done.output
        assert str(tmp_path / place) in done.output and content(tmp_path) == before


@pytest.mark.parametrize("name", TAKERS)
def test_new_empty_and_linked_folders_are_taken(bench: Bench, tmp_path: Path, name: str):
    writer = BY_NAME[name]
    for place in ("empty", "behind"):
        (tmp_path / place).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "behind")
    for place in ("deep/new", "empty", "link"):
        done = bench.call(writer, str(tmp_path / place))
        assert done.code == 0, done.output
        assert folders.found(tmp_path / place) is writer.made
    assert (tmp_path / "link").is_symlink() and len(content(tmp_path / "behind")) > 1


# What is refused has no marker every second time: whether it has one is looked at in one place.
PAIRS = list(product(NAMES, MAKERS))
LEFT = [(*pair, number % 2 == 0) for number, pair in enumerate(PAIRS)] + [
    (name, left, number % 2 == 1) for number, (name, left) in enumerate(PAIRS)
    if left in BY_NAME[name].takes
]  # fmt: skip


@pytest.mark.parametrize(("name", "left", "marked"), LEFT)
def test_another_commands_folder_is_refused_and_its_own_is_taken(
    bench: Bench, made: dict[str, Path], tmp_path: Path, name: str, left: str, marked: bool
):
    """Also where it was made before there were markers. What is the user's own stays, whether it is
    a file or one of many figures."""
    writer, folder = BY_NAME[name], as_left(made[left], tmp_path)
    if not marked:
        (folder / folders.MARKER).unlink(missing_ok=True)
        (folder / "mlflow" / folders.MARKER).unlink(missing_ok=True)
    own = {} if left == "publish" else {"notes.txt": b"my own notes.txt",
                                        "figures/mine.svg": b"my own figures/mine.svg"}  # fmt: skip
    fill(folder, *own)
    before = content(folder)
    done = bench.call(writer, str(folder))
    after = content(folder)
    if left in writer.takes:
        assert done.code == 0, done.output
        assert own.items() <= after.items() and set(before) <= set(after)
        records = [one for one in before if one.endswith((".jsonl", ".jsonl.xz"))]
        assert all(after[one].startswith(before[one]) for one in records), "they only grow"
    elif writer.made or MAKERS[left].made in RECORDED:
        refused(done, writer, folder, before)
    else:
        assert done.code in (2, 3) and after == before, "there is no record to go by"


@pytest.mark.parametrize("name", [n for n in NAMES if BY_NAME[n].takes and n not in PAGELESS])
def test_a_page_of_theirs_is_refused(
    bench: Bench, made: dict[str, Path], tmp_path: Path, name: str
):
    """In a folder of the command's own, that a killed command left without its pages."""
    writer = BY_NAME[name]
    folder = as_left(made[writer.takes[0]], tmp_path)
    marker = folder / folders.MARKER
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "files": []}))
    fill(folder, *(one for one in content(folder) if one.startswith(("index", "report", "runs"))))
    before = content(folder)
    done = bench.call(writer, str(folder))
    if name == "quality export/target":
        done.worked = ()  # which files there will be, only the store says
    refused(done, writer, folder, before)


@pytest.mark.parametrize("name", DRAWERS)
def test_a_figure_that_is_drawn_no_more_goes_and_theirs_stay(
    bench: Bench, made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    writer = BY_NAME[name]
    folder = as_left(made[writer.takes[0]], tmp_path)
    assert (folder / "figures" / "drawn.svg").is_file()
    mine = set() if name == "publish/out" else {"mine.svg"}
    fill(folder, *(f"figures/{one}" for one in mine))
    monkeypatch.setenv("DRAWN", "later")
    done = bench.call(writer, str(folder))
    assert done.code == 0, done.output
    assert {path.name for path in (folder / "figures").iterdir()} == {"later.svg", *mine}


@pytest.mark.parametrize("name", [n for n in DRAWERS if n != "publish/out"])
def test_a_figure_of_theirs_with_a_name_to_be_drawn_is_refused(
    bench: Bench, made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """What is measured first is kept; nothing else is touched."""
    writer = BY_NAME[name]
    folder = fill(as_left(made[writer.takes[0]], tmp_path), "figures/mine.svg")
    before = content(folder)
    monkeypatch.setenv("DRAWN", "mine")
    done = bench.call(writer, str(folder))
    assert done.code == 2 and f"{folder} holds figures/mine.svg" in done.output
    after = content(folder)
    assert {k: v for k, v in after.items() if v != before.get(k)}.keys() <= {"trust.jsonl"}


@pytest.mark.parametrize("name", ["quality export/target", "quality publish/target"])
def test_an_earlier_export_outlives_a_store_that_fails(
    bench: Bench, made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    def half(out_dir: Path, target: Path, *_: object, **__: object) -> int:
        fill(target, "artifacts/k1/roc.png")
        raise OSError("the store is gone")

    monkeypatch.setattr(tracking, "export", half)
    writer = BY_NAME[name]
    folder = as_left(made[writer.takes[0]], tmp_path)
    before = content(folder)
    done = bench.call(writer, str(folder))
    assert done.code == 3 and "the store is gone" in done.output and content(folder) == before


def test_a_folder_of_theirs_inside_a_published_one_is_refused(bench: Bench, made: dict[str, Path],
                                                             tmp_path: Path):  # fmt: skip
    folder = as_left(made["quality publish"], tmp_path)
    shutil.rmtree(folder / "mlflow")
    fill(folder, "mlflow/letter.txt")
    writer, before = WRITERS["quality publish", "target"], content(folder)
    refused(bench.call(writer, str(folder)), writer, folder, before)


def test_a_site_with_a_file_of_theirs_is_not_replaced(bench: Bench, made: dict, tmp_path: Path):
    """It would go with the old one: the name of a domain, or a page."""
    writer = WRITERS["publish", "out"]
    for name in ("CNAME", "losses/mine.html"):
        folder = as_left(made["publish"], tmp_path / name)
        fill(folder, name)
        done = bench.call(writer, str(folder))
        refused(done, writer, folder, content(folder))
        assert f"holds {name} beside it" in done.output


def test_publish_by_default_is_judged_too(bench: Bench, tmp_path: Path):
    store = Path(shutil.copytree(bench.places["STORE"], tmp_path / "store"))
    fill(store / "site", "index.html", "manifest.json")
    before = content(store)
    done = bench.call(Writer(("publish", "--records", "{}")), str(store))
    assert done.code == 2 and content(store) == before, done.output
    done = bench.call(Writer(("publish", "--records", "{}")), "")
    assert done.code == 2 and "empty path" in done.output


def test_each_refusal_says_what_is_there_and_what_to_do(bench: Bench, made: dict, tmp_path: Path):
    folder = as_left(made["quality run"], tmp_path)
    said = bench.call(WRITERS["report", "run_dir"], str(folder)).output
    assert re.search(
        r"RUN_DIR: expected .* made by marginbench run .*; \S+ is one made by marginbench quality "
        r"run, recipe or publish and drawn by marginbench quality report; it is left as it is: "
        r"choose another folder",
        said,
    ), said
