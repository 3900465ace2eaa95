"""What every loss owes for tensors and sizes that it declares of its own; faults are named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import guide_losses
import pytest
import torch

from benchmarks.agreement import tolerance
from benchmarks.training.terms import fields_of, learnt_fields, training_of
from marginbench import catalogue
from marginbench.checks import InputError
from marginbench.fields import MEMORY, MEMORY_LABELS, STANDARD, Field, Shape, own, sized
from marginbench.inputs import (
    Batch,
    Maker,
    completed,
    inputs_from,
    random_batch,
    random_inputs,
)
from marginbench.loss import Loss, Training, Variant
from suites.gate import ours
from suites.shapes import TABLES

VARIANTS = [(loss, variant) for loss in catalogue.losses() for variant in loss.variants]
SHAPE = Shape(7, 5, 11)
# Standard fields, and what else a batch has under a name.
TAKEN = {*STANDARD, *dir(Batch), *Batch.__dataclass_fields__}
EPS = torch.finfo(torch.float32).eps


def _name(value: object) -> str:
    return getattr(value, "name", str(value))


every_variant = pytest.mark.parametrize(("loss", "variant"), VARIANTS, ids=_name)
with_own = pytest.mark.parametrize(
    ("loss", "variant"), [(loss, v) for loss, v in VARIANTS if v.fields], ids=_name
)


def faults(loss: Loss, variant: Variant) -> Iterator[str]:
    """What is wrong with the fields and sizes that a variant declares, a sentence each."""
    for letter, size in sized(variant, SHAPE).more:
        if not isinstance(size, int) or size < 1:
            yield f"size {letter}: expected a whole number from 1 on; got {size!r}"
    for table in variant.shapes:
        if table not in TABLES:
            yield f"shapes: expected {', '.join(TABLES)}; got {table!r}"
    names = [field.name for field in variant.fields]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"field {name}: declared twice"
    for other in loss.variants:
        for field in other.fields:
            if field.name in names and field not in variant.fields:
                yield f"field {field.name}: not the same in {variant.name} and {other.name}"
    # Each of these rests on the one before it.
    for look in (_declared, _made, _read):
        found = [f"field {f.name}: {fault}" for f in variant.fields for fault in look(variant, f)]
        yield from found
        if found:
            return


def _declared(variant: Variant, field: Field) -> Iterator[str]:
    remembered = (MEMORY, MEMORY_LABELS)
    if not field.name.isidentifier() or field.name in TAKEN:
        yield "expected a name for an argument that no batch holds"
    unknown = [letter for letter in field.sizes if letter not in ("B", "D", "C", *variant.sizes)]
    if unknown:
        yield f"expected sizes of B, D, C and {list(variant.sizes)}; got {', '.join(unknown)}"
    if field.kind not in ("input", "state", "memory"):
        yield f"expected the kind input, state or memory; got {field.kind}"
    if (field.kind == "memory") != (field in remembered):
        yield "expected the kind memory of MEMORY and MEMORY_LABELS alone"
    elif field.kind == "memory" and not all(one in variant.fields for one in remembered):
        yield "expected both of MEMORY and MEMORY_LABELS"
    if field.kind == "state" and "B" in field.sizes:
        yield "expected a state of a size that no batch changes; got B"


def _made(variant: Variant, field: Field) -> Iterator[str]:
    shape, generator = sized(variant, SHAPE), torch.Generator().manual_seed(0)
    case = Maker(field, shape, generator, random_batch(shape, 0))
    made = {"drawn": case.for_a_case}
    if field.kind in ("state", "input"):
        own = replace(case, batch=None) if field.kind == "state" else case
        made["made for a training"] = own.for_a_training
    for how, function in made.items():
        try:
            tensor = function()
        except Exception as error:
            yield f"not {how}: {type(error).__name__}: {error}"
            continue
        dtype = field.dtype_in("float32")
        if tensor.dtype != getattr(torch, dtype):
            yield f"{how}: expected dtype {dtype}; got {tensor.dtype}"
        if tuple(tensor.shape) != shape.of(field.sizes):
            yield f"{how}: expected {shape.of(field.sizes)}; got {tuple(tensor.shape)}"


def _read(variant: Variant, field: Field) -> Iterator[str]:
    if field.name not in fields_of(variant):
        yield "no argument is made from it"


def faults_in_training(loss: Loss) -> Iterator[str]:
    """What is wrong with the updates that a loss declares."""
    training = loss.effective_training()
    if training is None:
        return
    trained = loss.variant(training.variant)
    reads = fields_of(trained)
    for name, by in training.updates.items():
        if name not in reads or reads[name].kind != "state":
            yield f"updates: expected a state that {trained.name} reads; got {name!r}"
            continue
        if name in learnt_fields(trained):
            yield f"updates: {name} is trained by gradient too"
        update = next((v for v in loss.variants if v.name == by), None)
        if update is None or update.output != "tensor":
            yield f"updates: expected a variant with the output tensor; got {by!r}"
            continue
        shape = sized(trained, SHAPE)
        batch = random_batch(shape, 0)
        inputs = inputs_from(update, batch, "float32", "cpu")
        value = loss.resolve(update.contender("eager").entry)(**inputs.tensors, **update.options)
        if tuple(value.shape) != shape.of(reads[name].sizes):
            got = f"{by} returns {tuple(value.shape)}"
            yield f"updates: expected {shape.of(reads[name].sizes)} for {name}; {got}"


@every_variant
def test_declared_fields_and_sizes_are_sound(loss: Loss, variant: Variant):
    assert list(faults(loss, variant)) == []


@pytest.mark.parametrize("loss", catalogue.losses(), ids=_name)
def test_declared_updates_are_sound(loss: Loss):
    assert list(faults_in_training(loss)) == []


@with_own
def test_a_declared_field_of_another_size_or_with_a_nan_is_named(
    loss: Loss, variant: Variant, seed: int
):
    inputs = inputs_from(variant, random_batch(SHAPE, seed), "float32", "cpu").tensors
    spoilt = []
    for name in (field.name for field in own(variant) if field.name in inputs):
        tensor = inputs[name].detach()
        spoilt.append((name, tensor[None]))
        if tensor.is_floating_point():
            spoilt.append((name, torch.full_like(tensor, torch.nan)))
    for contender in filter(ours, variant.contenders):
        function = loss.resolve(contender.entry)
        for name, bad in spoilt:
            with pytest.raises(InputError) as caught:
                function(**{**inputs, name: bad}, **variant.options)
            assert str(caught.value).startswith(f"{name}: expected"), contender.name


@with_own
def test_an_empty_memory_is_taken(loss: Loss, variant: Variant, seed: int):
    if MEMORY not in variant.fields:
        pytest.skip("takes no memory")
    batch = completed(variant, random_batch(SHAPE, seed, unit=variant.unit_embeddings))
    empty = batch.changed(memory=batch.memory[:0], memory_labels=batch.memory_labels[:0])
    values = []
    for contender in (variant.contender("reference"), *filter(ours, variant.contenders)):
        inputs = inputs_from(variant, empty, "float32", "cpu")
        function = loss.resolve(contender.entry)
        value = function(**inputs.tensors, **variant.options, reduction="sum")
        value.backward()
        assert torch.isfinite(inputs.tensors[variant.differentiable[0]].grad).all()
        values.append(float(value.detach()))
    assert values[1:] == pytest.approx([values[0]] * len(values[1:]), rel=64 * EPS)


@pytest.fixture
def tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loss:
    return guide_losses.adopt("tour", tmp_path, monkeypatch)


def _with(loss: Loss, name: str, changes: dict) -> tuple[Loss, Variant]:
    """The variant ``pull`` with its field ``name`` changed."""
    pull = loss.variant("pull")
    fields = tuple(replace(f, **changes) if f.name == name else f for f in pull.fields)
    changed = replace(pull, fields=fields)
    return replace(loss, variants=(changed, *loss.variants[1:])), changed


@pytest.mark.parametrize(
    ("field", "changes", "said"),
    [
        ("quality", {"sizes": ("B", "N")}, "got N"),
        ("quality", {"draw": lambda make: make.batch.bias}, "drawn: expected (7,); got (11,)"),
        ("quality", {"draw": lambda make: make.whole(2)}, "expected dtype float32; got torch.int"),
        ("quality", {"name": "labels"}, "a name for an argument that no batch holds"),
        ("quality", {"name": "shape"}, "a name for an argument that no batch holds"),
        ("quality", {"kind": "memory"}, "kind memory of MEMORY"),
        ("quality", {"kind": "partners"}, "expected the kind input, state or memory"),
        ("scale", {"sizes": ("B",)}, "a size that no batch changes"),
        ("scale", {"train": lambda make: make.batch.bias}, "not made for a training"),
        ("size", {"summary": "another"}, "not the same in pull and track"),
    ],
)
def test_a_field_that_is_wrong_is_named(tour: Loss, field: str, changes: dict, said: str):
    assert list(faults(tour, tour.variant("pull"))) == []
    found = list(faults(*_with(tour, field, changes)))
    assert any(fault.startswith("field ") and said in fault for fault in found), found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sizes": {"K": 0, "M": 4}}, "size K: expected a whole number"),
        ({"shapes": {"huge": ()}}, "shapes: expected agreement"),
        ({"fields": (MEMORY,)}, "expected both of MEMORY"),
        ({"arguments": lambda batch: {"embeddings": batch.embeddings}}, "no argument is made"),
    ],
)
def test_a_variant_that_is_wrong_is_named(tour: Loss, changes: dict, said: str):
    found = list(faults(tour, replace(tour.variant("pull"), **changes)))
    assert any(said in fault for fault in found), found


@pytest.mark.parametrize(
    ("updates", "said"),
    [
        ({"quality": "track"}, "expected a state that pull reads; got 'quality'"),
        ({"scale": "track"}, "scale is trained by gradient too"),
        ({"size": "pull"}, "expected a variant with the output tensor; got 'pull'"),
        ({"proxies": "track"}, "for proxies; track returns ()"),
    ],
)
def test_an_update_that_is_wrong_is_named(tour: Loss, updates: dict, said: str):
    wrong = replace(tour, training=Training(variant="pull", updates=updates))
    assert any(said in fault for fault in faults_in_training(wrong))
    assert training_of(tour).updates == {"size": "track"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"family": "tail"}, "family: expected one of head"),
        ({"sizes": {"C": 2}}, "sizes: expected"),
    ],
)
def test_what_suites_rest_on_is_checked_when_a_folder_is_found(
    tour: Loss, changes: dict, said: str
):
    wrong = replace(tour, variants=(replace(tour.variants[0], **changes),))
    with pytest.raises(ValueError, match=said):
        catalogue._check_sizes(wrong)


def test_each_declared_field_is_drawn_from_numbers_of_its_own(tour: Loss, seed: int):
    pull, track = tour.variants
    one, again = (random_inputs(pull, SHAPE, "float32", "cpu", seed).tensors for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    # Beyond what rounding 4 + u and 1 + u makes of one u.
    assert abs(float(one["scale"].detach()) - 4 - (float(one["size"]) - 1)) > 1e-6
    # Whichever others are declared beside it.
    alone = random_inputs(track, SHAPE, "float32", "cpu", seed).tensors
    assert torch.equal(alone["size"], one["size"])
    plain = random_batch(SHAPE, seed)
    assert torch.equal(one["embeddings"].detach(), plain.embeddings)
    other = random_inputs(pull, SHAPE, "float32", "cpu", seed + 1).tensors
    assert not torch.equal(other["proxies"], one["proxies"])


def test_columns_in_another_order_are_the_same_case(tour: Loss, seed: int):
    """What eager's usual error is taken from (`tolerance.reordered`)."""
    pull = tour.variant("pull")
    inputs = random_inputs(pull, SHAPE, "float64", "cpu", seed)
    function = tour.resolve("reference:pull")
    moved = tolerance.reordered(inputs, seed)
    assert not torch.equal(moved.tensors["proxies"], inputs.tensors["proxies"])
    torch.testing.assert_close(function(**moved.tensors), function(**inputs.tensors))
