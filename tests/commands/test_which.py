"""``marginbench which``: public implementations, and one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from commands.root import cli

OWN = """
import torch, torch.nn.functional as F
def loss(x, y, w):
    c = F.normalize(x) @ F.normalize(w).T
    own = (c.gather(1, y[:, None]).acos() + 0.3).cos()
    return F.cross_entropy(16 * c.scatter(1, y[:, None], own), y)
def other(x, y, w):
    return loss(x, y, w) + x.sum()
def broken(x, y):
    return x
number = 3
"""


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["which", *arguments])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_a_public_implementation_by_its_name():
    result = call("ArcFaceLoss")
    assert result.exit_code == 0, result.output
    assert "arcface/guarded" in result.output and "run as it is" in result.output
    (found,) = json.loads(call("ArcFaceLoss", "--json").stdout)
    same = [one["variant"] for one in found["held"] if one["verdict"] == "same"]
    assert same == ["guarded"] and found["run"]


def test_those_of_a_loss():
    found = json.loads(call("normface", "--json").stdout)
    assert len(found) > 1 and {one["loss"] for one in found} == {"normface"}
    assert {one["run"] for one in found} == {True, False}


def test_ones_own(own: Path):
    result = call("--module", f"{own}:loss", "--scale", "16", "--margin", "0.3")
    assert result.exit_code == 0, result.output
    assert "computes: arcface/true\n" in result.output
    result = call("--module", f"{own}:loss", "--scale", "16", "--margin", "0.35")
    assert result.exit_code == 1 and "computes: none of ours" in result.output
    assert call("--module", f"{own}:other", "--scale", "16", "--margin", "0.3").exit_code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody",), "NAME: expected a-softmax, "),
        (("--scale", "3"), "--scale: expected --module with it"),
        (("x", "--module", "own.py:loss"), "name: expected none with --module"),
        (("--module", "own.py"), "--module: expected FILE.py:FUNCTION"),
        (("--module", "none.py:loss"), "--module: expected a file that exists"),
        (("--module", "{}:nothing"), "expected a function of"),
        (("--module", "{}:number"), "expected a function of"),
        (("--module", "{}:broken"), "TypeError"),
    ],
)  # fmt: skip
def test_what_it_does_not_take(words: tuple[str, ...], said: str, own: Path):
    result = call(*(word.format(own) for word in words))
    assert result.exit_code == 2 and said in result.output, result.output
