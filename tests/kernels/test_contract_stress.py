"""What every loss owes on data where losses go wrong: over all that the catalogue finds, and over
every kind of data in `marginbench.stress`. A loss or a kind that is added is held to it by itself.

A contender is right as the agreement suite has it: eager as backward stability allows, a kernel of
our own at most twice as wrong as eager, what is selected as the reference selects it but for ties
that rounding can turn (and exact ties are none). A number that its dtype can't hold comes as one
that is not finite, and so may what is summed of such numbers; only inputs whose squares are beyond
the dtype's range may be refused, by an InputError that names one of the arguments, and where eager
refuses them a GPU gives no number.
"""

from __future__ import annotations

import re
import zlib

import pytest
import torch

from benchmarks.agreement import comparison, tolerance
from benchmarks.instruments.contenders import candidates, is_peer, unfit
from benchmarks.instruments.rows import Row, Subject
from marginbench import catalogue, stress
from marginbench.fields import STANDARD, sized
from marginbench.inputs import Batch, inputs_from, random_batch
from marginbench.loss import DTYPES, Inputs, Loss, Shape, Variant

SHAPES = {"head": Shape(11, 5, 7), "batch": Shape(7, 5, 3), "rows": Shape(11, 5, 3)}


def held(*dtypes: str) -> list:
    """Every variant with every kind of data, in the first of the dtypes that can hold it."""
    found = []
    for loss in catalogue.losses():
        for variant in loss.variants:
            for kind in stress.KINDS.values():
                able = [dtype for dtype in dtypes if kind.suits(variant, dtype)]
                if able:
                    name = f"{loss.name}-{variant.name}-{kind.name}-{able[0]}"
                    found.append(pytest.param(loss, variant, kind, able[0], id=name))
    return found


def drawn(variant: Variant, kind: stress.Kind, dtype: str, seed: int) -> tuple[Shape, Inputs]:
    shape = sized(variant, SHAPES[variant.family])
    batch = kind.make(shape, seed, variant.unit_embeddings)
    return shape, inputs_from(variant, batch, dtype, "cpu")


def refusable(inputs: Inputs) -> bool:
    """Whether the squared length of a row, or of a difference of two, is beyond float32's range."""
    squares = torch.cat([
        tensor.detach().double().square().sum(dim=1)
        for tensor in inputs.tensors.values()
        if tensor is not None and tensor.is_floating_point() and tensor.ndim == 2
    ])  # fmt: skip
    return bool(4 * squares.amax() > torch.finfo(torch.float32).max)


def refused(row: Row, inputs: Inputs) -> bool:
    named = re.match(r"InputError: (\w+): expected ", row.reason)
    return bool(named and row.status == "not_run" and named[1] in inputs.tensors) and refusable(
        inputs
    )


def faults(rows: list[Row], inputs: Inputs, held: bool) -> list[str]:
    """``held``: whether float32 holds the terms."""
    found = []
    # A GPU can't look at its inputs: it gives no number where eager, on the CPU, refuses them.
    refusing = any(row.contender == "eager" and refused(row, inputs) for row in rows)
    for row in rows:
        no_number = "NaN or infinite" in row.reason and (refusing or not held)
        fine = row.status == "ok" or refused(row, inputs) or no_number
        if not fine and row.metric != "error_over_eager":
            where = " ".join(row.of.values())
            found.append(f"{row.contender} {where}: {row.status}, {row.reason}")
    return found


def terms_held(loss: Loss, variant: Variant, inputs: Inputs) -> bool:
    """Whether the exact terms are within float32's range."""
    if variant.output != "loss":
        return True
    function = loss.resolve(variant.contender("reference").entry)
    tensors = tolerance.widened(inputs).tensors
    terms = function(**tensors, **variant.options, reduction="none")
    return bool((terms.detach().abs() <= torch.finfo(torch.float32).max).all())


def compare(
    loss: Loss, variant: Variant, kind: stress.Kind, dtype: str, seed: int, *, interpreted: bool
) -> list[str]:
    shape, inputs = drawn(variant, kind, dtype, seed)
    subject = Subject(loss, variant, shape, dtype, "cpu")
    found = candidates(subject, compile=False, interpreted=interpreted, data=kind.name)
    own = [one for one in found if not is_peer(one.contender)]
    assert all(one.function or one.reason for one in own)
    eager = next(one for one in own if one.name == "eager")
    able = [one for one in own if one.function is not None]
    # The reductions differ in the last step alone: each is compared on some of the kinds.
    names = variant.reductions
    only = names[zlib.crc32(f"{variant.name} {kind.name}".encode()) % len(names)]
    rows = comparison.measure(subject, able, inputs, seed, only=only, eager=eager)
    assert rows and {row.contender for row in rows} == {one.name for one in able}
    return faults(rows, inputs, terms_held(loss, variant, inputs))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of overflow in the interpreter
@pytest.mark.parametrize(("loss", "variant", "kind", "dtype"), held("float32"))
def test_every_contender_is_right(
    loss: Loss, variant: Variant, kind: stress.Kind, dtype: str, seed: int
):
    assert not compare(loss, variant, kind, dtype, seed, interpreted=True)


@pytest.mark.parametrize(("loss", "variant", "kind", "dtype"), held("float16", "bfloat16"))
def test_contenders_of_pytorch_are_right_in_half_precision(
    loss: Loss, variant: Variant, kind: stress.Kind, dtype: str, seed: int
):
    assert not compare(loss, variant, kind, dtype, seed, interpreted=False)


def test_what_is_said_to_be_unfit_is_named_by_its_kind():
    """A reason for a kind that is not there would excuse nothing, and nobody would see it."""
    for loss in catalogue.losses():
        for variant in loss.variants:
            for contender in variant.contenders:
                assert set(contender.unfit) <= set(stress.KINDS), f"{loss.name} {variant.name}"
                for kind, reason in contender.unfit.items():
                    assert reason and (is_peer(contender) or unfit(contender, kind) == reason)


# The data are what their names say.


@pytest.mark.parametrize("kind", stress.KINDS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize("shape", [Shape(13, 5, 4), Shape(24, 16, 11), Shape(1, 3, 1)], ids=str)
@pytest.mark.parametrize("unit", [False, True])
def test_a_kind_repeats_with_its_seed_and_its_dtypes_hold_it(
    kind: stress.Kind, shape: Shape, unit: bool, seed: int
):
    first, again, other = (kind.make(shape, s, unit) for s in (seed, seed, seed + 1))
    ordinary = random_batch(shape, seed, unit=unit)
    assert set(kind.dtypes) <= set(DTYPES) and kind.families
    differs = False
    for name in STANDARD:
        one = getattr(first, name)
        assert torch.equal(one, getattr(again, name)), name
        like = getattr(ordinary, name)
        assert one.shape == like.shape and one.dtype == like.dtype, name
        differs = differs or not torch.equal(one, getattr(other, name))
        for dtype in kind.dtypes if one.is_floating_point() else ():
            rounded = one.to(getattr(torch, dtype))
            assert bool(torch.isfinite(rounded).all()), f"{name} in {dtype}"
            assert bool((rounded == 0).eq(one == 0).all()), f"{name} in {dtype}"
    assert differs
    assert int(first.labels.min()) >= 0 and int(first.labels.max()) < shape.classes


def logits(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """In float64: the target's (B x 1), and all with the target's out of the way (B x C)."""
    all_BC = batch.embeddings.double() @ batch.class_weights.double().T + batch.bias.double()
    target_B1 = all_BC.gather(1, batch.labels[:, None])
    return target_B1, all_BC.scatter(1, batch.labels[:, None], -torch.inf)


def made(name: str, seed: int, unit: bool = False) -> Batch:
    return stress.KINDS[name].make(Shape(24, 16, 5), seed, unit)


def distances(batch: Batch) -> torch.Tensor:
    x_BD = batch.embeddings.double()
    return (x_BD[:, None] - x_BD).square().sum(dim=2)


def test_logits_are_confident_large_or_equal(seed: int):
    target_B1, others_BC = logits(made("confident", seed))
    assert float((target_B1 - others_BC).amin()) > 36
    target_B1, others_BC = logits(stress.KINDS["large-logits"].make(Shape(200, 16, 5), seed, False))
    assert 300 < float(target_B1.abs().max()) < 30_000
    largest_B1 = others_BC.amax(dim=1, keepdim=True)
    assert bool((target_B1 > largest_B1).any()) and bool((target_B1 < largest_B1).any())
    batch = made("equal-logits", seed)
    single_BC = batch.embeddings @ batch.class_weights.T + batch.bias
    assert bool((single_BC == single_BC[:, :1]).all()) and float(single_BC.abs().max()) > 1e6
    w_CD = made("common-weights", seed).class_weights
    assert float(w_CD.mean(dim=0).norm()) > 20 * float((w_CD - w_CD.mean(dim=0)).norm(dim=1).mean())


@pytest.mark.parametrize("unit", [False, True])
def test_distances_are_tight_tied_or_zero(unit: bool, seed: int):
    same_BB = (labels := made("tight-clusters", seed, unit).labels)[:, None] == labels
    d_BB = distances(made("tight-clusters", seed, unit))
    assert float(d_BB[same_BB].max()) < 1e-4 * float(d_BB[~same_BB].min())
    for number in (10, 100):
        x_BD = made(f"offset-{number}", seed, unit).embeddings.double()
        spread = (x_BD - x_BD.mean(dim=0)).square().sum(dim=1).mean().sqrt()
        assert 0.7 * number < float(x_BD.mean(dim=0).norm() / spread) < 1.4 * number
    ties = distances(made("exact-ties", seed, unit))
    assert len(ties.unique()) < 40 and torch.equal(ties.half().double(), ties)
    batch = made("duplicates", seed, unit)
    alike_BB = (distances(batch) == 0) & ~torch.eye(24, dtype=torch.bool)
    same_BB = batch.labels[:, None] == batch.labels
    assert bool((alike_BB & same_BB).any()) and bool((alike_BB & ~same_BB).any())
    assert 0 < float(distances(made("collapsed", seed, unit)).max()) < 5e-6
    assert not distances(made("one-point", seed, unit)).any()
    batch = made("identity-sorted", seed, unit)
    assert bool((batch.labels.diff() >= 0).all())
    same_BB = batch.labels[:, None] == batch.labels
    assert torch.equal(distances(batch) == 0, same_BB)


@pytest.mark.parametrize("name", ["1e-30", "1e-20", "1e-10", "1e10", "1e20", "1e30"])
def test_lengths_are_exact_powers_of_two(name: str, seed: int):
    ordinary = random_batch(Shape(24, 16, 5), seed)
    for kind, field in (
        ("length", "embeddings"),
        ("length", "centers"),
        ("weights", "class_weights"),
    ):
        one, like = (getattr(b, field) for b in (made(f"{kind}-{name}", seed), ordinary))
        factor = (one / like).unique()
        assert len(factor) == 1 and float(torch.frexp(factor).mantissa) == 0.5
        assert 0.3 < float(factor) / float(name) < 3
