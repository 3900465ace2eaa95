"""What options are taken for: numbers of other packages, words that are misspelt, and arguments
that are missing."""

from __future__ import annotations

import functools
import inspect
from fractions import Fraction

import numpy as np
import pytest
import torch
from library_cases import CASES, CLASSES, DIM, HEADS, ROWS, Case, labelled

import marginbench
from marginbench import InputError, functional
from marginbench.checks import check_head

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_head = pytest.mark.parametrize("case", HEADS, ids=lambda case: case.name)


@pytest.mark.parametrize("number", [np.float32(0.25), np.float64(0.25), np.float16(0.25),
                                    Fraction(1, 4)], ids=repr)  # fmt: skip
def test_a_number_of_another_package_is_kept_as_pythons(number):
    made = [
        (marginbench.TripletLoss(margin=number), "margin"),
        (marginbench.ExplicitTripletLoss(margin=number), "margin"),
        (marginbench.ContrastiveLoss(margin=number), "margin"),
        (marginbench.miners.AllSemiHardMiner(margin=number), "margin"),
        (marginbench.CenterTerm(DIM, CLASSES, alpha=number), "alpha"),
        (marginbench.CenterLoss(DIM, CLASSES, weight=number), "weight"),
        (marginbench.SoftmaxLoss(DIM, CLASSES, label_smoothing=number), "label_smoothing"),
        (marginbench.ASoftmaxLoss(DIM, CLASSES, annealing=number), "annealing"),
        (marginbench.Annealing(base=number), "base"),
    ]
    for thing, name in made:
        assert getattr(thing, name) == 0.25 and type(getattr(thing, name)) is float, thing


def test_a_whole_number_of_another_package_is_kept_as_pythons():
    head = marginbench.ASoftmaxLoss(np.int64(DIM), np.int32(CLASSES), m=np.uint8(3),
                                    ignore_index=np.int64(-1))  # fmt: skip
    assert (head.dim, head.classes, head.m, head.ignore_index) == (DIM, CLASSES, 3, -1)
    assert type(head.m) is int and type(head.ignore_index) is int
    head.step(np.int64(2))
    assert type(head.steps) is int and head.steps == 2
    margin = marginbench.TripletLoss(margin=np.int64(1)).margin
    assert margin == 1 and type(margin) is int
    assert head.topk(torch.ones(1, DIM), np.int64(2))[1].shape == (1, 2)
    assert marginbench.which("softmax", batch=np.int64(8), classes=np.int64(9)) == "eager"


def test_functions_take_numbers_of_another_package(seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    w_CD = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(seed))
    other = x_BD.flip(0)
    for number, implementation in ((np.float32(0.25), "auto"), (np.float64(0.25), "reference")):
        for function, arguments, given in (
            (functional.triplet, (x_BD, y_B), {"margin": number}),
            (functional.explicit_triplet, (x_BD, other, -x_BD), {"margin": number}),
            (functional.contrastive, (x_BD, y_B), {"margin": number}),
            (functional.pair_contrastive, (x_BD, other, y_B > 2), {"margin": number}),
            (functional.center, (x_BD, y_B, w_CD), {"centers": w_CD, "weight": number}),
            (functional.center_update, (x_BD, y_B, w_CD), {"alpha": number}),
            (functional.softmax, (x_BD, y_B, w_CD), {"label_smoothing": number}),
            (
                functional.a_softmax, (x_BD, y_B, w_CD),
                {"m": np.int64(2), "annealing": number, "label_smoothing": number},
            ),
        ):  # fmt: skip
            plain = {
                name: float(one) if one is number else int(one) if name == "m" else one
                for name, one in given.items()
            }
            call = functools.partial(function, *arguments, implementation=implementation)
            got, wanted = call(**given), call(**plain)
            assert got.dtype == wanted.dtype and torch.equal(got, wanted), function.__name__


@pytest.mark.parametrize(
    "wrong",
    [torch.tensor(0.2), np.bool_(True), True, np.array(0.2), "0.2", np.float32("nan"),
     np.float32("inf"), 0.2j, None],
    ids=repr,
)  # fmt: skip
def test_what_is_no_number_is_named(wrong):
    with pytest.raises(InputError, match="margin: expected a finite number >= 0; got "):
        marginbench.TripletLoss(margin=wrong)
    with pytest.raises(InputError, match="classes: expected a whole number from 1 on; got "):
        marginbench.SoftmaxLoss(DIM, wrong)
    with pytest.raises(InputError, match="m: expected 1, 2, 3 or 4; got "):
        marginbench.ASoftmaxLoss(DIM, CLASSES, m=wrong)


def test_a_tensor_is_no_whole_number():
    with pytest.raises(InputError, match=r"dim: expected a whole number from 1 on; got tensor\(3"):
        marginbench.SoftmaxLoss(torch.tensor(3), 2)


@every
def test_a_misspelt_word_is_answered_with_the_nearest(case: Case):
    with pytest.raises(InputError, match="got 'means'; did you mean 'mean'"):
        case.make(reduction="means")
    with pytest.raises(InputError, match="got 'egaer'; did you mean 'eager'"):
        case.make(implementation="egaer")


def test_a_misspelt_rule_is_answered_with_the_nearest(seed: int):
    for call in (marginbench.TripletLoss, lambda mining: functional.triplet(
        *labelled(ROWS, seed), mining=mining)):  # fmt: skip
        with pytest.raises(InputError, match="got 'semihard'; did you mean 'semi-hard'"):
            call(mining="semihard")
        with pytest.raises(InputError, match=r"mining: expected one of batch-all, .*; got \['a'\]"):
            call(mining=["a"])


@every_head
def test_embeddings_that_do_not_go_with_the_class_weights_are_named(case: Case, seed: int):
    """These change from step to step; the class weights are the module's own."""
    x_BD, y_B = labelled(ROWS, seed)
    module = case.make()
    for name in (one for one in ("auto", "eager", "tiled") if one in type(module).offered):
        module.implementation = name
        says = f"^embeddings: expected {DIM} columns as class_weights have; got shape .{ROWS}, 3.$"
        with pytest.raises(InputError, match=says):
            module(x_BD[:, :3], y_B)
        says = "^embeddings: expected dtype torch.float32 as class_weights have; got torch.float64$"
        with pytest.raises(InputError, match=says):
            module(x_BD.double(), y_B)
    with pytest.raises(InputError, match=r"^embeddings: expected device cpu as class_weights"):
        check_head(x_BD.to("meta"), y_B, module.class_weights)


@pytest.mark.parametrize("asked", ["logits", "predict"])
def test_new_embeddings_on_another_device_are_named(asked: str):
    head = marginbench.SoftmaxLoss(DIM, CLASSES)
    says = "^embeddings: expected device cpu as class_weights have; got meta$"
    with pytest.raises(InputError, match=says):
        getattr(head, asked)(torch.zeros(ROWS, DIM, device="meta"))


def test_embeddings_that_do_not_go_with_the_centers_are_named(seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    with pytest.raises(InputError, match=f"^embeddings: expected {DIM} columns as centers have"):
        marginbench.CenterTerm(DIM, CLASSES)(x_BD[:, :3], y_B)
    with pytest.raises(InputError, match=r"^embeddings: expected dtype torch\.float32 as centers"):
        marginbench.CenterTerm(DIM, CLASSES)(x_BD.double(), y_B)


@every
def test_a_missing_argument_names_the_class(case: Case):
    made = type(case.make())
    kept = inspect.signature(made)
    for give in ((), (DIM,), (DIM, CLASSES, "mean", 3)):
        try:
            kept.bind(*give)
        except TypeError:
            with pytest.raises(TypeError, match=rf"^{made.__name__}\.__init__\(\) "):
                made(*give)
    assert {"reduction", "implementation"} <= set(kept.parameters)
    assert "self" not in kept.parameters

    class Mine(made):
        pass

    with pytest.raises(TypeError, match=r"Mine\.__init__\(\) got an unexpected keyword argument"):
        Mine(no_such_option=1)
