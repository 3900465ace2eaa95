"""The softmax loss by other libraries: what their functions are handed, and what they give.

Their kernels want a GPU. Without one, two of the three still run in Triton's interpreter; of all
three a stand-in with the library's own parameters computes the loss from what the adapter hands it,
and where a library is installed the stand-in is held against its source.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from head_cases import HALF, draw
from torch import Tensor

from benchmarks.agreement.tolerance import bound
from benchmarks.instruments import machine
from benchmarks.instruments.contenders import unavailable
from benchmarks.sanitizer import interpreter
from marginbench import catalogue
from marginbench.loss import REDUCTIONS, Shape

LOSS = catalogue.get("softmax")
LIBRARIES = {
    "liger-kernel": "liger_kernel",
    "cut-cross-entropy": "cut_cross_entropy",
    "quack-kernels": "quack",
}
CELLS = [
    pytest.param(variant, contender, id=f"{variant.name}-{contender.name}")
    for variant in LOSS.variants
    for contender in variant.contenders
    if contender.name in LIBRARIES
]
RAGGED = Shape(37, 19, 23)
# A multiple of every vector and tile edge that a peer asks for.
EVEN = Shape(16, 32, 24)


# The functions' parameters, as the releases that are pinned have them.
def _liger(
    input, weight, target, bias=None, ce_weight=None, ignore_index=-100, lse_square_scale=0.0,
    label_smoothing=0.0, reduction="mean", softcap=None, return_z_loss=False, accum_dtype=None,
    use_token_scaling=False, return_token_accuracy=False, return_predicted_tokens=False,
    chunk_mem_const=1,
):  # fmt: skip
    assert accum_dtype == torch.float32
    return _softmax(input, weight, bias, target, reduction)


def _cut(
    e, c, targets, ignore_index=-100, softcap=None, reduction="mean", shift=False,
    filter_eps="high", impl="cce",
):  # fmt: skip
    assert filter_eps is None and shift is False
    return _softmax(e, c, None, targets, reduction)


def _chunked(
    x, weight, target, chunk_size=4096, ignore_index=-100, reduction="mean", tuned=True,
    use_scaled_exp=None,
):  # fmt: skip
    assert reduction in ("mean", "sum")
    return _softmax(x, weight, None, target, reduction)


def _whole(x, weight, bias, target, ignore_index=-100, reduction="mean", inplace_backward=False):
    assert inplace_backward is False
    return _softmax(x, weight, bias, target, reduction)


def _softmax(x, weight, bias, target, reduction) -> Tensor:
    return F.cross_entropy(F.linear(x, weight, bias), target, reduction=reduction)


# Where each stands: the module, the function, the stand-in.
FUNCTIONS = (
    ("liger_kernel.transformers.functional", "liger_fused_linear_cross_entropy", _liger),
    ("cut_cross_entropy.linear_cross_entropy", "linear_cross_entropy", _cut),
    ("quack.linear_cross_entropy", "chunked_linear_cross_entropy", _chunked),
    ("quack.linear_cross_entropy", "linear_cross_entropy_func", _whole),
)


def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the libraries' names that hold the stand-ins alone."""
    for path, name, function in FUNCTIONS:
        module = ModuleType(path)
        if path in sys.modules and getattr(sys.modules[path], "stand_in", False):
            module = sys.modules[path]
        setattr(module, name, function)
        module.stand_in = True
        monkeypatch.setitem(sys.modules, path, module)
        for parent in list(Path(path.replace(".", "/")).parents)[:-1]:
            package = ModuleType(str(parent).replace("/", "."))
            monkeypatch.setitem(sys.modules, package.__name__, package)
    cut, quack = sys.modules["cut_cross_entropy"], sys.modules["quack"]
    # One package hands on the function, the other the module of that name.
    monkeypatch.setattr(cut, "linear_cross_entropy", _cut, raising=False)
    quack_module = sys.modules["quack.linear_cross_entropy"]
    monkeypatch.setattr(quack, "linear_cross_entropy", quack_module, raising=False)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("variant", "contender"), CELLS)
def test_the_library_is_handed_the_loss(variant, contender, reduction, seed, monkeypatch):
    _stand_in(monkeypatch)
    tensors = draw(variant, RAGGED, "float64", seed).tensors
    got = LOSS.resolve(contender.entry)(**tensors, reduction=reduction)
    wanted = LOSS.resolve("reference:softmax")(**tensors, reduction=reduction)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    ("path", "name", "stand_in"), FUNCTIONS, ids=lambda x: getattr(x, "__name__", x)
)
def test_the_stand_ins_have_the_libraries_own_parameters(path: str, name: str, stand_in):
    """Read from the source: importing one of them takes a GPU's libraries."""
    top, *below = path.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{top} is not installed")
    file = Path(spec.submodule_search_locations[0], *below).with_suffix(".py")
    (found,) = (
        node
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    assert [a.arg for a in found.args.args] == list(inspect.signature(stand_in).parameters)


@pytest.mark.parametrize(("variant", "contender"), CELLS)
def test_a_peer_says_what_it_needs_and_where_it_stops(variant, contender):
    assert contender.note and "cuda" in contender.needs
    assert f"package:{LIBRARIES[contender.name]}" in contender.needs
    if machine.missing("cuda"):
        reason = unavailable(contender, EVEN, contender.dtypes[0], "cpu")
        assert reason.startswith(("needs CUDA", "needs Triton"))
    assert contender.limit is None or contender.limit(EVEN, "bfloat16") is None
    if contender.name == "quack-kernels":
        assert "multiple" in contender.limit(RAGGED, "bfloat16")
    if contender.name == "cut-cross-entropy":
        assert contender.limit(Shape(8, 512, 2**22 - 1), "bfloat16") is None
        assert "2^31" in contender.limit(Shape(8, 512, 2**22), "bfloat16")


def _agree(function, variant, shape: Shape, dtype: torch.dtype, reduction: str, seed: int) -> None:
    """Value and gradients against float64, within `benchmarks.agreement.tolerance.bound`."""
    inputs = draw(variant, shape, str(dtype).removeprefix("torch."), seed)
    tensors = inputs.tensors
    leaves = [tensors[name] for name in inputs.differentiable]
    truth = LOSS.resolve("reference:softmax")(**tensors, reduction=reduction)
    upstream = torch.rand(truth.shape, dtype=torch.float64) + 0.5
    wanted = torch.autograd.grad(truth, leaves, upstream)
    value = function(**tensors, reduction=reduction)
    assert value.dtype == torch.float32
    got = torch.autograd.grad(value, leaves, upstream.float())
    allowed = bound(shape, str(dtype).removeprefix("torch."))
    for out, reference in zip((value, *got), (truth, *wanted), strict=True):
        error = torch.linalg.vector_norm(out.double() - reference.double())
        assert error <= allowed * torch.linalg.vector_norm(reference.double())


interpreted = pytest.mark.skipif(not interpreter.active(), reason="wants Triton's interpreter")


@interpreted
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", (torch.float32, *HALF), ids=str)
@pytest.mark.parametrize("variant", LOSS.variants, ids=lambda variant: variant.name)
def test_liger_computes_the_same(variant, dtype, reduction: str, seed: int):
    pytest.importorskip("liger_kernel")
    _agree(LOSS.resolve("peers:liger"), variant, RAGGED, dtype, reduction, seed)


@interpreted
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", (RAGGED, EVEN), ids=str)
def test_cut_cross_entropy_computes_the_same(shape, reduction: str, seed: int, monkeypatch):
    """In float16. Its log1p is the GPU library's, which the interpreter has not; and it multiplies
    and adds in bfloat16 as no interpreter does."""
    pytest.importorskip("cut_cross_entropy")
    import cut_cross_entropy.tl_utils as device_functions

    monkeypatch.setattr(device_functions, "tl_log1p", triton.jit(_log_of_one_more))
    function = LOSS.resolve("peers:cut_cross_entropy")
    _agree(function, LOSS.variant("no-bias"), shape, torch.float16, reduction, seed)


def _log_of_one_more(x):
    return tl.log(1.0 + x)
