"""What is typed wrong is one line with exit code 2: the option, what was expected, what came."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from test_commands import named, tree

from commands.root import cli


def said(words: tuple[str, ...]) -> str:
    """The one line of a usage error."""
    result = CliRunner().invoke(cli, words, prog_name="marginbench")
    assert result.exit_code == 2 and result.stdout == "", result.output
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("words", list(tree()), ids=" ".join)
def test_every_commands_usage_error_is_one_line(words: tuple[str, ...]):
    command = " ".join(["marginbench", *words])
    expected = f"error: --zzz: no such option (see {command} --help)"
    assert said((*words, "--zzz")) == expected


@pytest.mark.parametrize("words", list(tree()), ids=" ".join)
def test_an_option_without_its_value_is_one_line(words: tuple[str, ...]):
    """click's parser does not say whose option it was."""
    command = " ".join(["marginbench", *words])
    for parameter in named(words).params:
        if parameter.param_type_name == "option" and not getattr(parameter, "is_flag", False):
            option = parameter.opts[-1]
            expected = f"error: {option}: expected a value; got nothing (see {command} --help)"
            assert said((*words, option)) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rum", "COMMAND: expected one of check-log, .*; got 'rum'; did you mean 'run'?"),
        ("quality rn", "COMMAND: expected one of again, .*; got 'rn'; did you mean 'run'?"),
        ("run --devce cpu", "--devce: no such option; did you mean '--device'?"),
        ("run --loss tripet", "--loss: expected one of .*; got 'tripet'; did you mean 'triplet'?"),
        ("run --suite sped", "--suite: expected one of .*; got 'sped'; did you mean 'speed'?"),
        ("run --seed abc",
         "--seed: expected a whole number from 0 to 2147483647; got 'abc'"),
        ("gate --seconds 0", "--seconds: expected a number from 0.2 to 3600; got '0'"),
        ("quality recipe --epochs 0",
         "--epochs: expected a whole number of at least 1; got '0'"),
        ("gate --suite smok", "--suite: expected one of smoke, default, thorough; got 'smok'; "
         "did you mean 'smoke'?"),
        ("compare --smallest-effect 5",
         "--smallest-effect: expected a share between 0 and 1, such as 3% or 0.03; got '5'"),
        ("static --pin=yes", "--pin: does not take a value"),
        ("verify /nowhere", "FOLDERS: expected a folder that exists; got '/nowhere'"),
        ("quality again", "RECORDS: expected a value; got nothing"),
        ("list x", r"expected no further argument \(x\)"),
        ("quality run --loss tripet",
         "--loss: expected one of .*; got 'tripet'; did you mean 'triplet'?"),
        ("quality run --contender eagr",
         "--contender: expected one of .*; got 'eagr'; did you mean 'eager'?"),
        ("quality run --dataset digit",
         "--dataset: expected one of digits, .*, folder:/path, lfw:/path; got 'digit'; did you "
         "mean 'digits'?"),
        ("quality run --dataset folder",
         "--dataset: expected one of .*; got 'folder'; did you mean .*"),
        ("quality run --dataset folder:/x?sise=16",
         "--dataset: option: expected one of size, grey; got 'sise'"),
        ("quality run --dataset lfw:/x?train=/y&pair=/z",
         "--dataset: option: expected one of size, grey, train, pairs; got 'pair'"),
        ("quality recipe facenet2015 --dataset folder:/x?size=0",
         "--dataset: size: expected height x width in pixels, such as 112x96; got '0'"),
        ("quality recipe facenet", "NAME: expected one of .*; got 'facenet'; did you mean .*"),
        ("quality recipe facenet2015 --dataset glyph",
         "--dataset: expected one of .*; got 'glyph'; did you mean 'glyphs'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_was_expected(words: str, expected: str):
    line = said(tuple(words.split()))
    pattern = expected.replace("?", r"\?") + r" \(see marginbench.* --help\)"
    assert re.fullmatch(f"error: {pattern}", line), line


def test_a_bare_group_shows_its_help():
    result = CliRunner().invoke(cli, ["quality"], prog_name="marginbench")
    assert result.exit_code == 2 and result.stderr.startswith("Usage: marginbench quality")
