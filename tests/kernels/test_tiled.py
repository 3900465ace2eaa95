"""The tiled heads, of which every contract test runs too: chunks, shares, layouts and memory."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from fused_heads import RAGGED, VARIANTS, assert_agrees, changed, draw, outcome, right

from benchmarks.agreement import tolerance
from benchmarks.instruments import memory
from marginbench.inputs import random_inputs
from marginbench.loss import Shape
from marginbench.shared import linear_lse_tiled, shares

NAMES = [n for n, (_, v) in VARIANTS.items() if any(c.name == "tiled" for c in v.contenders)]
# Each path through the shared code once: a bias, and unit weights with a margin.
REPRESENTATIVES = ("softmax/linear", "a-softmax/m4")
every_name = pytest.mark.parametrize("name", NAMES)
every_representative = pytest.mark.parametrize("name", REPRESENTATIVES)


@pytest.fixture(params=(1, 3), ids="threads{}".format)
def threads(request):
    """One share, and more shares than most machines here have cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 16 classes: RAGGED's 101 are six and a last one of five."""
    monkeypatch.setattr(linear_lse_tiled, "_MOST_COLUMNS", 16)
    monkeypatch.setattr(linear_lse_tiled, "_LEAST_COLUMNS", 16)


def function(name: str, contender: str = "tiled"):
    loss, variant = VARIANTS[name]
    return loss.resolve(variant.contender(contender).entry)


def call(name: str, inputs, reduction: str = "none"):
    return function(name)(**inputs.tensors, **VARIANTS[name][1].options, reduction=reduction)


def test_the_heads_over_class_weights_have_it():
    assert {"softmax/linear", "center/joint", "a-softmax/m4-annealed"} <= set(NAMES)


@every_name
@pytest.mark.parametrize("dtype", ("float64", "float32", "bfloat16", "float16"))
def test_at_most_twice_as_wrong_as_eager(name, dtype, narrow, threads, seed: int):
    """Over several chunks, the last one ragged, with upstream gradients that differ by term."""
    assert_agrees(name, draw(name, RAGGED, dtype, "cpu", seed), seed, contender="tiled")


def test_sums_over_many_samples_keep_their_digits(seed: int):
    """The bias's gradient, by the rule of the agreement suite: errors relative to the result."""
    inputs = draw("softmax/linear", Shape(2_048, 8, 40), "float32", "cpu", seed)
    (tiled, _), (eager, _) = (
        outcome("softmax/linear", contender, inputs, "mean", seed)
        for contender in ("tiled", "eager")
    )
    exact = right("softmax/linear", inputs, "mean", seed)[0]["bias"]
    mine, theirs = (tolerance.relative(o["bias"], exact) for o in (tiled, eager))
    assert mine <= 2 * max(theirs, tolerance.epsilon("float32"))


@every_representative
@pytest.mark.parametrize("shape", (Shape(1, 1, 1), Shape(5, 3, 16), Shape(5, 3, 17)), ids=str)
def test_a_chunk_and_its_neighbours(name, shape, narrow, threads, seed: int):
    assert_agrees(name, draw(name, shape, "float32", "cpu", seed), seed, contender="tiled")


@every_representative
def test_its_own_chunks(name, threads, seed: int):
    """1,100 classes: chunks of 512, 128 and what is left."""
    shape = Shape(5, 9, 1_100)
    assert_agrees(name, draw(name, shape, "float32", "cpu", seed), seed, contender="tiled")


@every_representative
def test_labels_wherever_they_fall(name, narrow, threads, seed: int):
    """One in each chunk, at the edges of chunks, and all in one."""
    inputs = draw(name, Shape(9, 5, 101), "float64", "cpu", seed)
    for labels in ([0, 15, 16, 31, 47, 64, 80, 95, 100], [20, 21, 22, 20, 21, 22, 31, 16, 16]):
        other = changed(inputs, labels=torch.tensor(labels))
        assert_agrees(name, other, seed, ("none",), contender="tiled")


@every_representative
@pytest.mark.parametrize("scale", (0.0, 1e3))
def test_embeddings_of_no_and_of_great_length(name, scale, narrow, threads, seed: int):
    inputs = draw(name, RAGGED, "float32", "cpu", seed)
    scaled = changed(inputs, embeddings=scale * inputs.tensors["embeddings"])
    assert_agrees(name, scaled, seed, contender="tiled")


@every_representative
def test_layouts(name, narrow, threads, seed: int):
    """Transposed matrices, and vectors with a stride."""
    inputs = draw(name, RAGGED, "float32", "cpu", seed)
    strided = {
        of: t.T.contiguous().T if t.ndim == 2 else torch.stack((t, t), dim=1)[:, 0]
        for of, t in inputs.tensors.items()
    }
    other = changed(inputs, **strided)
    assert not other.tensors["class_weights"].is_contiguous()
    assert_agrees(name, other, seed, contender="tiled")


@every_name
def test_the_same_bits_again(name, narrow, threads, seed: int):
    inputs = draw(name, RAGGED, "float32", "cpu", seed)
    first, _ = outcome(name, "tiled", inputs, "none", seed)
    again, _ = outcome(name, "tiled", inputs, "none", seed)
    assert all(torch.equal(first[of], again[of]) for of in first)


@every_name
def test_graphs_and_inputs_stay_whole(name, narrow, seed: int):
    """A second backward, no_grad and inference_mode; the inputs' bits and versions afterwards."""
    inputs = draw(name, RAGGED, "float32", "cpu", seed)
    before = {of: (t.detach().clone(), t._version) for of, t in inputs.tensors.items()}
    leaves = [inputs.tensors[of] for of in inputs.differentiable]
    terms_B = call(name, inputs)
    upstream = torch.linspace(-1, 2, len(terms_B))
    first = torch.autograd.grad(terms_B, leaves, upstream, retain_graph=True)
    second = torch.autograd.grad(terms_B, leaves, upstream)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            silent = call(name, inputs)
        assert not silent.requires_grad and torch.equal(silent, terms_B)
    for of, (bits, version) in before.items():
        assert torch.equal(inputs.tensors[of], bits) and inputs.tensors[of]._version == version, of


@every_name
def test_gradients_only_where_asked(name, narrow, seed: int):
    inputs = draw(name, RAGGED, "float32", "cpu", seed)
    full, _ = outcome(name, "tiled", inputs, "sum", seed)
    for of in inputs.differentiable:
        one = dataclasses.replace(inputs, differentiable=(of,))
        alone, _ = outcome(name, "tiled", changed(one), "sum", seed)
        assert torch.equal(alone[of], full[of])


@every_name
def test_gradcheck(name, narrow, seed: int):
    """Against finite differences, which know nothing of the reference."""
    inputs = draw(name, Shape(4, 3, 19), "float64", "cpu", seed)
    names = inputs.differentiable

    def terms(*leaves):
        tensors = {**inputs.tensors, **dict(zip(names, leaves, strict=True))}
        return function(name)(**tensors, **VARIANTS[name][1].options, reduction="none")

    assert torch.autograd.gradcheck(terms, [inputs.tensors[of] for of in names])


@every_name
def test_a_second_derivative_is_refused(name, seed: int):
    inputs = draw(name, RAGGED, "float32", "cpu", seed)
    leaves = [inputs.tensors[of] for of in inputs.differentiable]
    with pytest.raises(RuntimeError, match=r"^create_graph: expected False"):
        torch.autograd.grad(call(name, inputs, "sum"), leaves, create_graph=True)


@every_representative
def test_autocast_leaves_it_as_it_is(name, narrow, threads, seed: int):
    inputs = draw(name, RAGGED, "float32", "cpu", seed)
    plain, _ = outcome(name, "tiled", inputs, "sum", seed)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, _ = outcome(name, "tiled", inputs, "sum", seed)
    assert all(torch.equal(plain[of], cast[of]) for of in plain)


def test_compile_leaves_it_to_eager(narrow, seed: int):
    inputs = draw("softmax/linear", RAGGED, "float32", "cpu", seed)
    torch._dynamo.reset()
    traced = torch.compile(function("softmax/linear"), backend="aot_eager")
    value = traced(**inputs.tensors, reduction="sum")
    torch.testing.assert_close(value, call("softmax/linear", inputs, "sum"), rtol=1e-6, atol=0)


# --- memory ----------------------------------------------------------------------------------


def _bytes_beyond(name: str, contender: str, shape: Shape, *, backward: bool, seed: int) -> int:
    """Peak bytes beyond the inputs and, with ``backward``, beyond the gradients returned."""
    inputs = random_inputs(VARIANTS[name][1], shape, "float32", "cpu", seed)
    leaves = [inputs.tensors[of] for of in inputs.differentiable]

    def work():
        value = function(name, contender)(**inputs.tensors, **VARIANTS[name][1].options)
        return torch.autograd.grad(value, leaves) if backward else value

    gradients = sum(leaf.nbytes for leaf in leaves) if backward else 0
    return memory.peak(work, "cpu").figures["peak_bytes"] - gradients


@every_representative
@pytest.mark.parametrize("backward", (False, True), ids=("forward", "both"))
def test_under_a_twentieth_of_the_logits(name, backward, threads, seed: int):
    """At 100,000 classes. With one thread every allocation is on the thread that is watched."""
    shape = Shape(64, 8, 100_000)
    logits = shape.batch * shape.classes * 4
    tiled, eager = (
        _bytes_beyond(name, contender, shape, backward=backward, seed=seed)
        for contender in ("tiled", "eager")
    )
    assert 0 < tiled < logits / 20
    assert eager > logits  # the instrument sees a B x C matrix where there is one


def test_scratch_is_bounded_for_many_threads(seed: int):
    """Chunks are narrower for more threads: one thirty-second of the logits in all."""
    x_BD, w_CD, y_B = torch.zeros(3, 2), torch.zeros(100_000, 2), torch.zeros(3).long()
    for threads in (1, 2, 16, 24):
        chunks = linear_lse_tiled._Chunks(x_BD, y_B, w_CD, None, None, threads)
        assert threads * chunks.columns <= 100_000 / 32
        classes = [at for s in range(chunks.shares) for _, at in chunks.of(s)]
        assert classes[0].start == 0 and classes[-1].stop == 100_000
        assert all(a.stop == b.start for a, b in itertools.pairwise(classes))


# --- shares ----------------------------------------------------------------------------------


def test_shares_run_on_one_thread_each_and_the_setting_comes_back():
    before = torch.get_num_threads()
    seen = {}

    def work(share: int) -> None:
        seen[share] = torch.get_num_threads()

    with shares.undivided() as threads:
        shares.in_shares(work, 3)
    assert threads == before == torch.get_num_threads()
    assert seen == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize("failing", (0, 2))
def test_a_failing_share_is_raised_when_all_have_ended(failing: int):
    ended = []

    def work(share: int) -> None:
        if share == failing:
            raise ValueError(f"share {share}")
        ended.append(share)

    with pytest.raises(ValueError, match=f"share {failing}"), shares.undivided():
        shares.in_shares(work, 3)
    assert sorted(ended) == [s for s in range(3) if s != failing]


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_another_device_is_refused(name, seed: int):
    inputs = draw(name, RAGGED, "float32", "cpu", seed)
    elsewhere = changed(inputs, **{of: t.to("meta") for of, t in inputs.tensors.items()})
    with pytest.raises(ValueError, match=r"^embeddings: expected a tensor on the CPU"):
        call(name, elsewhere)
