"""The documentation holds: links resolve, code runs, commands exist, what is made is up to date."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

import marginbench
from commands.root import cli
from marginbench import catalogue
from reports import headlines, loss_pages, markdown_blocks

ROOT = Path(__file__).resolve().parents[1]
LINES = 120
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    + [path for path in ROOT.glob("*/README.md") if not path.parent.name.startswith(".")]
)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
TARGET = re.compile(r"^([a-z-]+):", re.M)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@functools.cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@functools.cache
def known() -> set[str]:
    """Files of git, and their folders; also those that are new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if made.returncode:
        pytest.skip("this is no clone: git names no files")
    files = [Path(name) for name in made.stdout.split("\0") if name]
    return {str(part) for path in files for part in (path, *path.parents)}


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def links(text: str) -> list[str]:
    return [link for link in LINK.findall(without_code(text)) if "://" not in link]


def anchors(text: str) -> set[str]:
    """Of each heading, as GitHub makes it."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} (.+)$", FENCE.sub("", text), re.M):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        name = re.sub(r"[^\w\- ]", "", shown).strip().replace(" ", "-")
        found[name] = found.get(name, -1) + 1
        if found[name]:
            found[f"{name}-{found[name]}"] = 0
    return set(found)


def broken(page: Path, text: str) -> Iterator[str]:
    for link in links(text):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        name = str(target.relative_to(ROOT)) if target.is_relative_to(ROOT) else ""
        if name not in known():
            yield f"{link}: no file of git"
        elif anchor and anchor not in anchors(text_of(target) if path else text):
            yield f"{link}: no such heading"


@each_page
def test_links_resolve(page: Path):
    assert list(broken(page, text_of(page))) == []


def test_a_link_that_leads_nowhere_is_found():
    text = "# A b, c\n[a](#a-b-c) [b](docs/none.md) [c](#d) [d](docs/api.md#none) `[e](f)`"
    assert [one.split(":")[0] for one in broken(ROOT / "README.md", text)] == [
        "docs/none.md", "#d", "docs/api.md#none",
    ]  # fmt: skip


def blocks(text: str) -> list[tuple[str, str]]:
    """Fenced blocks: the words after the fence, and the code."""
    return FENCE.findall(text)


RUNNING = [page for page in PAGES if any(words == "python" for words, _ in blocks(text_of(page)))]


@pytest.mark.parametrize("page", RUNNING, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_runs(page: Path, seed: int):
    """All of a page in one namespace, on the CPU."""
    namespace: dict[str, object] = {"__name__": page.stem}
    for words, code in blocks(text_of(page)):
        if words == "python":
            exec(compile(code, str(page), "exec"), namespace)


def test_blocks_are_marked_as_what_they_are():
    allowed = re.compile(r"|python|python no-run|python file=[\w/]+\.py|math")
    for page in PAGES:
        for words, _ in blocks(text_of(page)):
            assert allowed.fullmatch(words), f"{page.relative_to(ROOT)}: {words}"


def command_lines(text: str) -> Iterator[str]:
    """Lines of fenced blocks without a language, and code inside a line."""
    for words, code in blocks(text):
        if not words:
            yield from code.splitlines()
    yield from re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text()))


def unknown_commands(text: str) -> Iterator[str]:
    for line in command_lines(text):
        words = shlex.split(line.replace("…", ""), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words and not exists(words):
            yield line


def exists(words: list[str]) -> bool:
    """False for a target, a command, an option or a module that is not there."""
    first, rest = words[0], words[1:]
    if first == "make":
        return not rest or rest[0] in targets()
    if first == "marginbench":
        return reached(cli, rest)
    if first.endswith("python") and rest[:1] == ["-m"]:
        name = rest[1].replace(".", "/")
        there = any((ROOT / path).is_file() for path in (f"{name}.py", f"{name}/__main__.py"))
        return there or rest[1] == "pytest"
    return True


def reached(command: click.Command, words: list[str]) -> bool:
    """Whether the words lead to a command, and its options exist."""
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        if found is None:
            return False
        command, words = found, words[1:]
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    return given <= {*options, "--help"}


@each_page
def test_commands_exist(page: Path):
    assert list(unknown_commands(text_of(page))) == []


def test_a_command_that_does_not_exist_is_found():
    text = "`make nothing` `marginbench runs` `marginbench run --slow` `python -m reports.none`"
    assert len(list(unknown_commands(text))) == 4
    text = "`make` `make test ARGS=x` `marginbench quality run --loss a`"
    assert not list(unknown_commands(text))


def test_the_readme_is_short():
    """Without its rows of losses, of which there is one for each."""
    rows = re.compile(r"<!-- losses -->.*<!-- /losses -->", re.S)
    assert len(rows.sub("", text_of(ROOT / "README.md")).splitlines()) <= LINES - 12


def test_the_readme_says_what_the_records_say():
    text = text_of(ROOT / "README.md")
    assert headlines.filled(text) == text, headlines.PROGRAM


def test_an_edited_figure_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = text_of(ROOT / "README.md")
    readme = tmp_path / "README.md"
    readme.write_text(text.replace("MiB instead of", "MiB instead of 9", 1))
    monkeypatch.setattr(headlines, "README", readme)
    monkeypatch.setattr(headlines, "filled", lambda _: text)
    assert headlines.main([]) == 1
    assert headlines.main(["--write"]) == 0 and readme.read_text() == text
    assert headlines.main([]) == 0


@pytest.mark.parametrize("text", ["", "<!-- a -->", "<!-- /a --><!-- a -->", "<!-- a -->" * 2])
def test_a_file_without_its_comments_is_refused(text: str):
    with pytest.raises(ValueError, match="once each"):
        markdown_blocks.put(text, "a", "new")


def test_the_pages_of_the_losses_are_up_to_date(capsys: pytest.CaptureFixture[str]):
    assert loss_pages.main([]) == 0, capsys.readouterr().out


def test_every_public_name_is_in_the_index():
    text = text_of(ROOT / "docs" / "api.md")
    names = {*marginbench.__all__, *marginbench.functional.__all__, *marginbench.miners.__all__}
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()
    for loss in catalogue.losses():
        page = text_of(loss_pages.FOLDER / f"{loss.name}.md")
        assert all(f"`marginbench.{name}`" in page for name in loss.public)
