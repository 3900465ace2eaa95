"""The command line as a whole: every help teaches, and what the commands share works once."""

from __future__ import annotations

import ast
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from commands import messages, paths, recorded
from commands.compare import compare
from commands.gate import gate
from commands.quality.recipe import recipe_command
from commands.quality.run import run as quality_run
from commands.root import cli
from commands.run import run

ROOT = Path(__file__).resolve().parents[2]


def tree(command: click.Command = cli, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, the root's first."""
    yield words
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from tree(below, (*words, name))


def named(words: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return command


def shown(words: tuple[str, ...]) -> str:
    result = CliRunner().invoke(cli, [*words, "--help"], prog_name="marginbench")
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("words", list(tree()), ids=" ".join)
def test_every_help_has_an_example_exit_codes_and_a_word_on_each_parameter(words: tuple[str, ...]):
    text, command = shown(words), named(words)
    example = " ".join(["marginbench", *words])
    body = text.partition("\n\n")[2]
    assert re.search(rf"^ +{example}( |$)", body, re.MULTILINE), "no example"
    assert "Exit codes" in body
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
        else:
            assert parameter.make_metavar(click.Context(command)).strip("[].") in body


@pytest.mark.parametrize(
    "words", [words for words in tree() if isinstance(named(words), click.Group)], ids=" ".join
)
def test_a_list_of_commands_cuts_no_sentence_off(words: tuple[str, ...]):
    _, _, commands = shown(words).partition("Commands:\n")
    assert commands and not re.search(r"\.\.\.$", commands, re.MULTILINE)


@pytest.mark.parametrize("words", list(tree()), ids=" ".join)
def test_examples_are_commands_that_there_are(words: tuple[str, ...]):
    """Each example's options are ones that its command has."""
    for line in shown(words).splitlines():
        if not line.strip().startswith("marginbench "):
            continue
        typed = shlex.split(re.split(r"\s{2,}", line.strip())[0])[1:]
        command: click.Command = cli
        while typed and isinstance(command, click.Group):
            command = command.commands[typed.pop(0)]
        names = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in typed if word.startswith("-")} <= names, line


def test_the_root_s_help_says_how_to_complete_by_the_tab_key():
    assert 'eval "$(_MARGINBENCH_COMPLETE=bash_source marginbench)"' in shown(())
    environment = {**os.environ, "_MARGINBENCH_COMPLETE": "zsh_source"}
    words = [sys.executable, "-m", "commands"]
    script = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert script.stdout.startswith("#compdef marginbench"), script.stderr
    environment |= {
        "_MARGINBENCH_COMPLETE": "bash_complete",
        "COMP_WORDS": "marginbench quality re", "COMP_CWORD": "2",
    }  # fmt: skip
    completed = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert completed.stdout.split() == ["plain,recipe", "plain,report"], completed.stderr


def test_the_script_for_bash_is_printed():
    """As the installed command prints it; click asks bash for its version first."""
    asked = {"_MARGINBENCH_COMPLETE": "bash_source"}
    result = CliRunner().invoke(cli, [], prog_name="marginbench", env=asked)
    assert "complete -o nosort -F _marginbench_completion marginbench" in result.output


@pytest.mark.parametrize(
    ("words", "command", "leave_out"),
    [
        ("run", run, ()),
        ("run --fast --suite speed --suite accuracy --contender eager,triton --seed 7", run, ()),
        ("run --case 'a b/c' --device cpu --out 'a folder'", run, ()),
        ("quality run --full --loss triplet --seeds 5 --no-mlflow", quality_run, ()),
        ("gate --suite smoke --threads 2 --seconds 3.5 --apart --seed 0", gate, ("half",)),
        ("compare A B --contender eager --contender tiled --across-machines", compare, ()),
    ],
)
def test_the_recorded_command_line_says_the_same(
    words: str, command: click.Command, leave_out: tuple[str, ...]
):
    """Read, written and read again: the same options, in the words of the declaration."""
    before = words.split(" -")[0].split(" A ")[0]
    given = shlex.split(words)[len(before.split()) :]
    options = command.make_context("again", list(given)).params
    line = recorded.command_line(f"marginbench {before}", command, options, leave_out=leave_out)
    assert line == f"marginbench {words}"
    again = shlex.split(line)[1 + len(before.split()) :]
    assert command.make_context("again", again).params == options


def test_a_recipes_command_line_names_its_defaults_too():
    options = recipe_command.make_context("recipe", ["x", "--dataset", "digits"]).params
    line = recorded.command_line(
        "marginbench quality recipe x", recipe_command, options,
        leave_out=("name", "out", "no_mlflow"), defaults_too=True,
    )  # fmt: skip
    assert line == ("marginbench quality recipe x --dataset digits --backbone resnet --seed 0 "
                    "--device cpu")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (("run", "--fast"), "fast"),
        (("run", "--out", "x"), "out"),
        (("quality", "run", "--full"), "full"),
        (("quality", "run", "--workers", "2", "--seed", "0"), "seed"),
    ],
)
def test_beside_resume_no_option_of_the_run_is_taken(
    tmp_path: Path, words: tuple[str, ...], left_out: str
):
    result = CliRunner().invoke(cli, [*words, "--resume", str(tmp_path)])
    assert result.exit_code == 2 and f"leave out {left_out}" in result.output


@pytest.mark.parametrize("words", [("run",), ("quality", "run")])
@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_without_a_run_of_the_command_is_not_resumed(
    tmp_path: Path, words: tuple[str, ...], packed: bool
):
    if packed:
        (tmp_path / "records.jsonl.xz").write_bytes(b"")
    result = CliRunner().invoke(cli, [*words, "--resume", str(tmp_path)])
    assert result.exit_code == 2
    output = " ".join(result.output.split())
    assert f"expected a folder that marginbench {' '.join(words)} made" in output


def test_the_newest_run_is_found(tmp_path: Path):
    with pytest.raises(click.UsageError, match="there is none yet"):
        paths.newest(tmp_path)
    for name in ("2026-01-01", "2026-03-01", "2026-02-01"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "records.jsonl").touch()
    (tmp_path / "2026-04-01").mkdir()
    assert paths.newest(tmp_path) == tmp_path / "2026-03-01"
    later = '{"kind":"session","started_at":"2026-05-01T00:00:00Z"}\n'
    for name, began in (("a-first", later), ("v1-baseline", later.replace("05", "04"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "records.jsonl").write_text(began)
    assert paths.newest(tmp_path).name == "a-first", "by its own time, and not by its name"
    made = paths.new_folder(tmp_path, before="gate-", after="-x")
    assert re.fullmatch(r"gate-\d{4}-\d\d-\d\d-\d{6}-x", made.name)


def test_the_width_counts_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert messages.console(137).width == 137
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert messages.console(137).width == Console().width


def test_consoles_are_made_in_one_place():
    """A command that makes its own folds its tables at 80 columns in a log."""
    for path in sorted((ROOT / "commands").rglob("*.py")):
        called = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        }
        assert "Console" not in called or path.name == "messages.py", path
