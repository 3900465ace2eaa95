"""What a loss declares of its own in a training: states, new inputs, a second side, a memory."""

from __future__ import annotations

from pathlib import Path

import guide_losses
import pytest
import torch

from benchmarks.sanitizer import far
from benchmarks.snapshots import launches
from benchmarks.snapshots.exact import check
from benchmarks.training.datasets import digits
from benchmarks.training.loop import Run, cpu_threads
from benchmarks.training.objective import Embedded, Objective
from benchmarks.training.terms import fields_of, learnt_fields, partners_of
from marginbench.fields import Shape, sized
from marginbench.inputs import completed
from marginbench.loss import Loss
from suites.jobs import Job, Settings, Term

CLASSES, DIM, BATCH = 4, 6, 5
TOUR = Job("x", "tour", (Term("tour"),), "digits", 7, Settings(epochs=2))


@pytest.fixture
def tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loss:
    return guide_losses.adopt("tour", tmp_path, monkeypatch)


def objective(seed: int, *terms: str) -> Objective:
    generator = torch.Generator().manual_seed(seed)
    chosen = [Term(name) for name in terms or ("tour",)]
    return Objective(chosen, "eager", CLASSES, DIM, generator, steps=100, batch=BATCH)


def embedded(seed: int) -> Embedded:
    generator = torch.Generator().manual_seed(seed)
    x_BD, z_BD = torch.randn(2, BATCH, DIM, generator=generator)
    labels_B = torch.randint(CLASSES, (BATCH,), generator=generator)
    return Embedded(x_BD.requires_grad_(), labels_B, z_BD.requires_grad_())


def step(made: Objective, seed: int) -> float:
    value = made(embedded(seed), 0.0)
    made.step_done()
    return float(value.detach())


def test_what_is_learnt_follows_from_the_declaration(tour: Loss, seed: int):
    pull = tour.variant("pull")
    assert learnt_fields(pull) == ("scale", "proxies")
    assert partners_of(pull) == ("second",)
    assert {"quality", "size", "memory", "memory_labels"} <= set(fields_of(pull))
    made = objective(seed)
    assert made.learnt == ("tour.scale", "tour.proxies")
    assert made.updated == {"tour.size": "track"}
    assert [tuple(p.shape) for p in made.parameters] == [(), (CLASSES, 3, DIM)]
    assert made.description(1.0)["memory_rows"] == 2 * BATCH


def test_states_start_as_declared_and_gradients_reach_what_is_learnt(tour: Loss, seed: int):
    made, batch = objective(seed), embedded(seed)
    assert float(made.fields["tour.scale"]) == 4 and float(made.fields["tour.size"]) == 1
    made(batch, 0.0).backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters)
    assert batch.x_BD.grad is not None and batch.second_BD.grad is not None
    assert made.fields["tour.size"].grad is None


def test_a_statistic_is_replaced_after_each_step(tour: Loss, seed: int):
    made = objective(seed)
    step(made, seed)
    mean = embedded(seed).x_BD.detach().abs().mean()
    torch.testing.assert_close(made.fields["tour.size"], 0.9 + 0.1 * mean)


def test_what_is_made_anew_differs_from_step_to_step_and_repeats_with_the_seed(
    tour: Loss, seed: int
):
    drawn = []
    for _ in range(2):
        made = objective(seed)
        for _ in range(2):
            step(made, seed)
            drawn.append(made._inputs["tour.quality"])
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[1], drawn[3])


def test_the_memory_holds_the_last_rows_and_their_labels(tour: Loss, seed: int):
    made = objective(seed)
    sizes = []
    for number in range(4):
        sizes.append(len(made._memory[0]))
        step(made, seed + number)
    assert sizes == [0, BATCH, 2 * BATCH, 2 * BATCH]
    last = [embedded(seed + number) for number in (2, 3)]
    x_MD, labels_M = made._memory
    assert torch.equal(x_MD, torch.cat([one.x_BD.detach() for one in last]))
    assert torch.equal(labels_M, torch.cat([one.labels_B for one in last]))
    assert not x_MD.requires_grad


def test_what_is_kept_goes_through_a_checkpoint(tour: Loss, seed: int):
    made, other = objective(seed), objective(seed + 1)
    for number in range(3):
        step(made, seed + number)
    other.restore(made.state())
    other._generator.set_state(made._generator.get_state())
    assert step(made, seed + 9) == step(other, seed + 9)


def test_terms_of_other_losses_go_beside_it(tour: Loss, seed: int):
    made = objective(seed, "tour", "softmax")
    assert made.learnt == ("class_weights", "bias", "tour.scale", "tour.proxies")
    assert step(made, seed) == pytest.approx(
        step(objective(seed), seed) + step(objective(seed, "softmax"), seed), rel=1e-5
    )


def test_a_network_trains_with_it_and_goes_on_where_it_was(tour: Loss):
    """Bit for bit; one forward pass takes the batch and its second side, and no third."""
    with cpu_threads(1):
        whole = Run(TOUR, digits())
        rows = list(whole.epochs())
        first, second = Run(TOUR, digits()), Run(TOUR, digits())
        list(zip(range(2), first.epochs(), strict=False))
        second.restore(first.state())
        assert second.epoch == 1
        rest = list(second.epochs())
    assert rest[-1]["train_loss"] == rows[-1]["train_loss"]
    state, other = whole.objective.state(), second.objective.state()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert float(state["tour.scale"]) != 4 and float(state["tour.size"]) != 1
    assert len(state["memory"]) == 2 * whole.settings.batch
    images = next(whole._steps())[1]
    assert len(images) == 2 * whole.settings.batch


@pytest.mark.parametrize("made", ["recorded", "far"])
def test_launches_are_looked_at_with_zeros_in_their_place(tour: Loss, made: str):
    pull = tour.variant("pull")
    shape = sized(pull, Shape(6, 5, 4))
    if made == "recorded":
        zeros, fill = launches.zeros(shape, "bfloat16"), launches.zero("bfloat16")
    else:
        zeros, fill = far.batch_of(shape, torch.bfloat16), far._declared("bfloat16")
    batch = completed(pull, zeros, fill)
    for field in pull.fields:
        tensor = getattr(batch, field.name)
        assert tuple(tensor.shape) == shape.of(field.sizes)
        assert tensor.dtype == getattr(torch, field.dtype_in("bfloat16"))
        assert not tensor.any()


def test_the_exact_check_reports_it_as_new(tour: Loss):
    outcome = check.check(pin=False, losses=["tour"], static=False)
    assert outcome.code == check.DIFFERS
    assert not (outcome.broken or outcome.unmeasured or outcome.problems)
    assert {one.before for one in outcome.differences} == {"-"}
    cases = {row.case for row in outcome.rows}
    assert "exact/tour/pull/B37-D19-C23-K3-M74/float32/cpu" in cases
