"""The tidy table that reports ask: by hand on a few rows."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from reports.rows import Rows


class Case(NamedTuple):
    loss: str


class Row(NamedTuple):
    case: Case
    contender: str
    value: float | None


A, B = Case("a"), Case("b")
ROWS = Rows([Row(B, "x", 1.0), Row(A, "x", None), Row(B, "y", 2.0), Row(A, "x", 0.0)])


def test_rows_are_found_by_columns_of_their_own_and_of_their_case():
    assert ROWS.where(loss="b") == (ROWS[0], ROWS[2])
    assert ROWS.where(loss="a", contender=("x", "y")) == (ROWS[1], ROWS[3])
    assert ROWS.where("value", lambda row: row.value > 1) == (ROWS[2],)
    assert ROWS.but(loss="b", contender="x") == ROWS[1:], "not both"
    assert ROWS.but(value=None).first(loss="a") == ROWS[3]
    assert ROWS.first(loss="c") is None
    with pytest.raises(AttributeError):
        ROWS.where(size=1)


def test_groups_come_in_the_order_of_their_first_rows():
    assert ROWS.each("loss") == ["b", "a"]
    assert list(ROWS.by("loss").items()) == [("b", ROWS[::2]), ("a", ROWS[1::2])]
    assert list(ROWS.by("loss", "contender")) == [("b", "x"), ("a", "x"), ("b", "y")]
    assert ROWS.by(lambda row: row.value is None)[True].each("contender") == ["x"]
    assert {key: list(own) for key, own in ROWS.pivot("loss", "contender").items()} == {
        "b": ["x", "y"], "a": ["x"],
    }  # fmt: skip
