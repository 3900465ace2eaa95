"""``marginbench check-log``: public logs, one of which contradicts its configuration."""

from __future__ import annotations

import math

import pytest
from click.testing import CliRunner, Result

from commands.root import cli

WEBFACE = ("--loss", "cosface", "--classes", "2059906", "--scale", "64", "--dim", "512")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["check-log", *arguments])


def test_a_log_that_agrees():
    result = call(*WEBFACE, "--margin", "0.4", "--rate", "0.2", "42.49")
    assert result.exit_code == 0, result.output
    assert "expected 42.50 +- 0.13; logged 42.49" in result.output
    assert "it agrees" in result.output


@pytest.mark.parametrize(
    ("settings", "explained"),
    [
        (("--margin", "0.4", "--rate", "0.3"), "rate 0.199 in place of 0.3"),
        (("--margin", "0.5", "--rate", "0.2"), "margin 0.4 in place of 0.5"),
    ],
)
def test_a_log_that_does_not_agree_and_what_explains_it(settings, explained):
    result = call(*WEBFACE, *settings, "42.49")
    assert result.exit_code == 1, result.output
    assert "does not agree" in result.output and explained in result.output


def expected(loss: str, *more: str) -> float:
    """Before training, over the classes of ``WEBFACE``."""
    return float(call("--loss", loss, *WEBFACE[2:], *more, "1").output.split()[1])


def test_a_loss_by_lengths_adds_what_it_has_of_them():
    """MagFace at lengths of 10 is ArcFace with a margin of 0.45, and 35 (10 / 110^2 + 1 / 10)."""
    more = expected("magface", "--length", "10") - expected("arcface", "--margin", "0.45")
    assert more == pytest.approx(35 * (10 / 110**2 + 1 / 10), abs=0.011)


def test_a_sampled_variant_begins_as_its_head_at_that_rate():
    """The corrected one stands for all classes at any rate."""
    for loss in ("arcface", "cosface"):
        own, all_of = expected(loss, "--rate", "0.1"), expected(loss)
        assert own < all_of - 1
        assert expected(loss, "--variant", "sampled", "--rate", "0.1") == own
        assert expected(loss, "--variant", "sampled-corrected", "--rate", "0.1") == all_of


def test_drawn_margins_begin_at_their_mean():
    """CosFace's at the mean; on the angle, less by what the draw takes off its sine."""
    assert expected("elasticface", "--variant", "cos") == expected("cosface", "--margin", "0.35")
    given = ("--margin", "0.45")
    assert expected("elasticface", "--variant", "cos", *given) == expected("cosface", *given)
    less = 64 * math.sin(0.5) * (1 - math.exp(-(0.05**2) / 2))
    found = expected("arcface", "--margin", "0.5") - expected("elasticface")
    assert found == pytest.approx(less, abs=0.011) and less > 0.03


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--loss", "softmax", "--classes", "9", "--dim", "8", "1"), 2, "--loss: expected one of"),
        ((*WEBFACE, "--variant", "soft", "1"), 2, "--variant: expected one of margin, sampled, "),
        ((*WEBFACE, "--rate", "1.5", "1"), 2, "--rate: expected a number above 0, at most 1"),
        ((*WEBFACE, "--scale", "0", "1"), 2, "--scale: expected a number above 0; got 0"),
        (("--loss", "normface", "--margin", "1", "--classes", "9", "--dim", "8", "1"), 2,
         "--margin: expected none: normface has no margin"),
        ((*WEBFACE, "--length", "20", "1"), 2, "--length: expected none: cosface does not go by"),
        (("--loss", "magface", *WEBFACE[2:], "1"), 2,
         "--length: expected the embeddings' length, by which magface goes, from 0 on; got None"),
        ((*WEBFACE, "--margin", "nan", "1"), 2, "--margin: expected a finite number; got nan"),
        ((*WEBFACE, "--scale", "1e5", "1"), 3, "a few classes make up the sum"),
        ((*WEBFACE, "nan"), 2, "LOGGED: expected a finite number; got nan"),
        (("--loss", "cosface", "--classes", "100", "--dim", "8", "4"), 3,
         "a few classes make up the sum"),
    ],
)  # fmt: skip
def test_what_it_does_not_take(arguments, code: int, said: str):
    result = call(*arguments)
    assert result.exit_code == code and said in result.output, result.output
