"""Names that are imported when they are first used, and `marginbench.which`."""

from __future__ import annotations

import pickle

import pytest
import torch
from library_cases import labelled

import marginbench
from marginbench import InputError, catalogue, functional, miners

PARTS = {"": marginbench, "functional": functional, "miners": miners}
NAMES = [(part, name) for part in PARTS for name in catalogue.public(part)]
NAMES += [("", name) for name in ("InputError", "IMPLEMENTATIONS", "PartialFC", "RowSGD", "which")]


@pytest.mark.parametrize(("part", "name"), NAMES, ids=lambda one: one or "marginbench")
def test_a_name_is_looked_up_once(part: str, name: str, monkeypatch):
    module = PARTS[part]
    first = getattr(module, name)

    def again(name: str) -> None:
        raise AssertionError(f"{name} is looked up again")

    monkeypatch.setattr(module, "__getattr__", again)
    assert getattr(module, name) is first
    assert dir(module).count(name) == 1


@pytest.mark.parametrize(("part", "name"), NAMES, ids=lambda one: one or "marginbench")
def test_a_public_object_is_pickled_by_its_name(part: str, name: str):
    thing = getattr(PARTS[part], name)
    assert pickle.loads(pickle.dumps(thing)) == thing


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch": -1}, "batch: expected a whole number from 1 on; got -1"),
        ({"batch": 1.5}, "batch: expected a whole number from 1 on; got 1.5"),
        ({"classes": -1}, "classes: expected a whole number from 0 on; got -1"),
        ({"classes": 0}, "classes: expected how many class weights softmax has, .*; got 0"),
        ({"device": "gpu"}, "device: expected a device of torch, such as 'cpu' .*; got 'gpu'"),
        ({"device": None}, "device: expected a device of torch, such as 'cpu' .*; got None"),
        ({"dtype": "float32"}, ".*; got 'float32'; did you mean torch.float32"),
        ({"dtype": torch.int64}, "dtype: expected one of .*torch.float32.*; got torch.int64"),
    ],
    ids=str,
)
def test_what_which_does_not_know_is_named(options: dict, says: str):
    with pytest.raises(InputError, match=says):
        marginbench.which("softmax", **{"batch": 8, "classes": 9, **options})


def test_which_is_what_auto_takes():
    assert marginbench.which("softmax", batch=8, classes=2**30) == "tiled"
    assert marginbench.which("softmax", batch=8, classes=2**30, dtype=torch.float64) == "tiled"
    for device in ("meta", torch.device("cpu")):
        assert marginbench.which("triplet", batch=8, device=device) == "eager"


@pytest.mark.parametrize("name", sorted(catalogue.public("miners")))
def test_the_repr_of_a_miner_says_how_it_was_made(name: str, seed: int):
    miner = getattr(miners, name)(implementation="reference")
    shown = {"margin": 0.2, "implementation": "reference"}
    options = ", ".join(f"{one}={shown[one]!r}" for one in shown if hasattr(miner, one))
    assert repr(miner) == f"{name}({options})"
    again = eval(repr(getattr(miners, name)()), vars(miners))
    assert again.implementation == "auto"
    for got, wanted in zip(again(*labelled(24, seed)), miner(*labelled(24, seed)), strict=True):
        assert torch.equal(got, wanted)


def test_a_loss_is_asked_for_by_its_name():
    with pytest.raises(InputError, match="loss: expected a loss's name, such as 'softmax'; got"):
        marginbench.which(marginbench.TripletLoss, batch=8)
