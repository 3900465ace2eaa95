"""What the Triton heads do beside computing: layouts, bad labels, NaN, graphs, operators.

Every launch is watched for lanes out of bounds (`bounds`).
"""

from __future__ import annotations

import bounds
import pytest
import torch
from fused_heads import RAGGED, REPRESENTATIVES, VARIANTS, changed, draw, outcome, use_small_tiles
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from marginbench.a_softmax import fused as a_softmax
from marginbench.center import fused_centers as center
from marginbench.checks import InputError
from marginbench.loss import Inputs, Shape
from marginbench.shared import linear_lse_gradients
from marginbench.shared.linear_lse_tiles import range_of_classes
from marginbench.softmax import fused as softmax


@pytest.fixture(autouse=True)
def _inside_the_tensors():
    with bounds.watched():
        yield


@pytest.fixture
def many_tiles(monkeypatch):
    use_small_tiles(monkeypatch)


def _layouts(tensor: Tensor) -> dict[str, Tensor]:
    """The same numbers, laid out in other ways."""
    if tensor.ndim == 1:
        return {"strided": torch.stack((tensor, tensor), dim=1)[:, 0]}
    rows, columns = tensor.shape
    padded = tensor.new_full((rows, columns + 3), float("nan"))
    padded[:, 1 : columns + 1] = tensor
    return {
        "transposed": tensor.t().contiguous().t(),
        "columns of a wider matrix": padded[:, 1 : columns + 1],
        "every second row": torch.stack((tensor, tensor), dim=1)[:, 0],
    }


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_any_layout_gives_the_same_bits(name: str, device: str, seed: int):
    inputs = draw(name, Shape(17, 19, 37), "bfloat16", device, seed)
    plain, _ = outcome(name, "triton", inputs, "none", seed)
    for argument, tensor in inputs.tensors.items():
        for layout, other in _layouts(tensor.detach()).items():
            assert torch.equal(other, tensor)
            again, _ = outcome(name, "triton", changed(inputs, **{argument: other}), "none", seed)
            for of, want in plain.items():
                assert torch.equal(again[of], want), f"{argument} {layout}: {of}"


def _raw(name: str, inputs: Inputs) -> Tensor:
    """The terms from below the checks, as a GPU gets them."""
    t = inputs.tensors
    if name == "center/term":
        return center.center_terms(t["embeddings"], t["labels"], t["centers"])
    if name == "softmax/linear":
        return softmax.head(t["embeddings"], t["labels"], t["class_weights"], t["bias"])
    return a_softmax.head(t["embeddings"], t["labels"], t["class_weights"], margin=4)


@pytest.mark.parametrize("bad", [-1, 37, 2**31 - 1, 2**32, 2**62, -(2**63)])
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_a_label_out_of_range_reads_nothing_and_is_nan(name, bad, many_tiles, device, seed):
    """2^32 would be class 0 if labels were cut to 32 bits."""
    inputs = draw(name, Shape(17, 19, 37), "float32", device, seed)
    labels = inputs.tensors["labels"].clone()
    labels[5] = bad
    terms = _raw(name, changed(inputs, labels=labels))
    fine = torch.arange(17, device=device) != 5
    assert torch.equal(terms[fine], _raw(name, inputs)[fine]) and terms[5].isnan()
    spoilt = changed(inputs, labels=labels)
    leaves = [spoilt.tensors[of] for of in spoilt.differentiable]
    grads = torch.autograd.grad(_raw(name, spoilt).sum(), leaves)
    assert grads[0][5].isnan().all() and grads[0][fine].isfinite().all()


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_nan_goes_in_and_comes_out(name: str, many_tiles, device: str, seed: int):
    inputs = draw(name, Shape(17, 19, 37), "float32", device, seed)
    for argument in inputs.tensors.keys() - {"labels"}:
        spoilt = inputs.tensors[argument].detach().clone()
        spoilt[3] = float("nan")
        spoilt_inputs = changed(inputs, **{argument: spoilt})
        terms = _raw(name, spoilt_inputs)
        hit = torch.arange(17, device=device) == 3
        if argument != "embeddings":
            everywhere = argument in ("class_weights", "bias")
            hit = torch.ones_like(hit) if everywhere else inputs.tensors["labels"] == 3
        assert torch.equal(terms.isnan(), hit), argument
        leaves = [spoilt_inputs.tensors[of] for of in spoilt_inputs.differentiable]
        (dx, *_) = torch.autograd.grad(terms.sum(), leaves)
        assert dx[hit].isnan().all() and dx[~hit].isfinite().all(), argument


@pytest.mark.parametrize("name", [*REPRESENTATIVES, "center/joint"])
def test_inputs_are_unchanged_and_results_repeat(name: str, many_tiles, device: str, seed: int):
    """Nothing changed in place (the upstream gradient neither), the same bits again, no_grad,
    retain_graph, checkpointing, two uses in one graph."""
    loss, variant = VARIANTS[name]
    inputs = draw(name, RAGGED, "float32", device, seed)
    before = {k: t.detach().clone() for k, t in inputs.tensors.items()}
    function = loss.resolve(variant.contender("triton").entry)
    leaves = [inputs.tensors[of] for of in inputs.differentiable]

    def run(*_):
        return function(**inputs.tensors, **variant.options, reduction="none")

    terms = run()
    weights = torch.linspace(-1, 2, len(terms), device=device)
    # Handed on as it is, the upstream gradient could be written into.
    upstream = weights.clone()
    first = torch.autograd.grad(terms, leaves, upstream, retain_graph=True)
    assert torch.equal(upstream, weights)
    again = torch.autograd.grad((terms * weights).sum(), leaves)
    twice = torch.autograd.grad((run() * weights).sum() + (run() * weights).sum(), leaves)
    kept = checkpoint(run, *leaves, use_reentrant=False)
    remade = torch.autograd.grad((kept * weights).sum(), leaves)
    with torch.no_grad():
        assert torch.equal(run(), terms) and not run().requires_grad
    for a, b, c, d in zip(first, again, twice, remade, strict=True):
        assert torch.equal(a, b) and torch.equal(a, d)
        # Not the same bits: two uses may add up in another order.
        torch.testing.assert_close(2 * a, c)
    for key, old in before.items():
        assert torch.equal(inputs.tensors[key].detach(), old), f"{key} was changed"


@pytest.mark.parametrize("name", REPRESENTATIVES[:2])
def test_each_gradient_alone_is_the_same(name: str, device: str, seed: int):
    inputs = draw(name, RAGGED, "float32", device, seed)
    whole, _ = outcome(name, "triton", inputs, "none", seed)
    for only in inputs.differentiable:
        fewer = changed(Inputs(inputs.tensors, (only,)))
        alone, _ = outcome(name, "triton", fewer, "none", seed)
        assert torch.equal(alone[only], whole[only]), only


def test_no_bias_is_a_bias_of_zero(device: str, seed: int):
    inputs = draw("softmax/linear", RAGGED, "float32", device, seed).tensors
    zero = torch.zeros_like(inputs["bias"])
    x, y, w = (inputs[k].detach() for k in ("embeddings", "labels", "class_weights"))
    assert torch.equal(softmax.softmax(x, y, w), softmax.softmax(x, y, w, zero))


def test_autocast_takes_inputs_as_they_come(device: str, seed: int):
    inputs = draw("softmax/linear", Shape(5, 3, 4), "float32", device, seed).tensors
    with torch.autocast(device, dtype=torch.bfloat16):
        cast = softmax.softmax(**inputs)
    assert cast.dtype == torch.float32 and torch.equal(cast, softmax.softmax(**inputs))


@pytest.mark.parametrize("contender", ["triton", "eager"])
@pytest.mark.parametrize("name", [*REPRESENTATIVES, "center/joint"])
def test_autocast_brings_embeddings_and_weights_together(name, contender, device, seed):
    """Embeddings of 16 bits beside parameters of 32, as a network under autocast gives them: class
    weights are cast, and embeddings to the dtype of the centers."""
    loss, variant = VARIANTS[name]
    wide = draw(name, Shape(5, 3, 4), "float32", device, seed)
    mixed = changed(wide, embeddings=wide.tensors["embeddings"].detach().bfloat16())
    function = loss.resolve(variant.contender(contender).entry)
    with torch.autocast(device, dtype=torch.bfloat16):
        got = function(**mixed.tensors, **variant.options, reduction="none")
    for of in mixed.differentiable:
        (gradient,) = torch.autograd.grad(got.sum(), mixed.tensors[of], retain_graph=True)
        assert gradient.dtype == mixed.tensors[of].dtype, of
    cast = {k: t.detach() for k, t in mixed.tensors.items()}
    for key in {"class_weights", "bias"} & cast.keys():
        cast[key] = cast[key].bfloat16()
    reference = loss.resolve(variant.contender("reference").entry)
    want = reference(**cast, **variant.options, reduction="none")
    # The inputs are rounded already; what is left is bfloat16 logits in eager's linear layer.
    eps = torch.finfo(torch.bfloat16 if contender == "eager" else torch.float32).eps
    torch.testing.assert_close(got.double(), want, rtol=8 * eps, atol=8 * eps)
    with pytest.raises(InputError, match=r"^embeddings: expected dtype torch.float32 as c"):
        function(**mixed.tensors, **variant.options)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_opcheck(name: str, device: str, seed: int):
    t = draw(name, Shape(5, 3, 4), "float32", device, seed).tensors
    x, y = t["embeddings"], t["labels"]
    if name == "center/term":
        calls = [
            (center.center_terms, (x, y, t["centers"])),
            (center.center_gradient, (torch.randn(5, device=device), x.detach(), y, t["centers"])),
            (center.center_update, (x.detach(), y, t["centers"], 0.5)),
            (center.center_step, (x, y, t["centers"], 0.5)),
        ]
    else:
        head, w, b = (
            (softmax.head, t["class_weights"], t["bias"])
            if name == "softmax/linear"
            else (a_softmax.head, t["class_weights"], None)
        )
        s = (torch.rand(5, device=device) + 0.5).requires_grad_() if b is None else None
        saved = [o.detach() for o in head.operator(x, y, w, b, s, None, 4, [5.0])]
        plain = [None if v is None else v.detach() for v in (x, y, w, b, s)]
        wanted = [True, False, b is not None, s is not None]
        calls = [
            (head.operator, (x, y, w, b, s, None, 4, [5.0])),
            (linear_lse_gradients.gradients, (saved[0], *plain, *saved[1:], wanted)),
        ]
    for operator, arguments in calls:
        results = torch.library.opcheck(operator, arguments)
        assert set(results.values()) == {"SUCCESS"}, results


@pytest.mark.parametrize(
    "name", ["softmax/linear", "a-softmax/m4-annealed", "center/joint", "center/term"]
)
def test_compiles_without_a_graph_break(name: str, device: str, seed: int):
    loss, variant = VARIANTS[name]
    inputs = draw(name, Shape(5, 3, 4), "float32", device, seed)
    function = loss.resolve(variant.contender("triton").entry)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    leaves = [inputs.tensors[of] for of in inputs.differentiable]
    grads = []
    for call in (function, compiled):
        value = call(**inputs.tensors, **variant.options, reduction="mean")
        grads.append([value.detach(), *torch.autograd.grad(value, leaves)])
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_scratch_is_bounded():
    """At most 32 MiB and a 256th of large logits; whole units; never wider than the classes."""
    for batch in (1, 64, 1024, 4096):
        for classes in (1, 1000, 100_000, 1_000_000):
            span = range_of_classes(batch, classes, 2, 128, slots=3)
            assert span % 128 == 0 and 128 <= span < classes + 128
            allowed = max(8 << 20, min(32 << 20, batch * classes * 2 // 256))
            assert 3 * batch * span * 2 <= allowed or span == 128
