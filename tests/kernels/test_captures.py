"""A head that never ran is refused inside the capture of a CUDA graph before it launches anything;
Triton's interpreter and a capture that isn't there stand in for a GPU."""

from __future__ import annotations

import pytest
import torch

from marginbench import catalogue
from marginbench.inputs import random_inputs
from marginbench.loss import Loss, Shape, Variant
from marginbench.shared import launching, replays, tuning

HEADS = {
    f"{loss.name}/{variant.name}": (loss, variant)
    for loss in catalogue.losses()
    for variant in loss.variants
    if variant.family == "head" and variant.sweep and variant.output == "loss"
    if "triton" in {contender.name for contender in variant.contenders}
}


@pytest.mark.parametrize("given", HEADS.values(), ids=HEADS)
def test_a_head_that_never_ran_is_refused_before_any_launch(
    given: tuple[Loss, Variant], monkeypatch: pytest.MonkeyPatch, seed: int
):
    loss, variant = given
    inputs = random_inputs(variant, Shape(16, 16, 5), "float32", "cpu", seed)
    tensors = {
        name: one.detach().requires_grad_(name in inputs.differentiable)
        for name, one in inputs.tensors.items()
    }
    function = loss.resolve(variant.contender("triton").entry)
    launched: list[str] = []  # the head's own kernels, by module
    run = launching.Launch.__call__

    def counted(launch: launching.Launch) -> None:
        module = launch.kernel.fn.__module__
        launched.extend([module] if "linear_lse" in module else [])
        run(launch)

    monkeypatch.setattr(launching.Launch, "__call__", counted)
    tuning.forget()
    capturing = True
    monkeypatch.setattr(replays, "capturing", lambda _: capturing)
    with pytest.raises(RuntimeError, match=r"heads .* forward: not run .*B=16, C=5, D=16"):
        function(**tensors, **variant.options)
    assert launched == []
    capturing = False
    value = function(**tensors, **variant.options)
    assert launched
    launched.clear()
    capturing = True
    with pytest.raises(RuntimeError, match=r"heads backward.*: not run .*B=16, C=5, D=16"):
        torch.autograd.grad(value, [tensors[name] for name in inputs.differentiable])
    assert launched == []
