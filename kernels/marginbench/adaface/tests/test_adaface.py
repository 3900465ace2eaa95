"""AdaFace beside its public code's formula in plain autograd; its poles, clips and few bits; the
losses that it has at its ends; the statistics of one process and of two; what it does not take."""

from __future__ import annotations

import math
import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from head_cases import RAGGED, draw
from torch import Tensor

from marginbench import AdaFaceLoss, catalogue
from marginbench.adaface import eager, fused, public_code, reference, tiled
from marginbench.adaface.arguments import RULES
from marginbench.arcface import eager as arcface
from marginbench.checks import InputError
from marginbench.cosface import eager as cosface
from marginbench.functional import adaface

LOSS = catalogue.get("adaface")
every_form = pytest.mark.parametrize("module", (reference, eager, tiled, fused))
of_float64 = pytest.mark.parametrize("module", (reference, eager, tiled))
every_rule = pytest.mark.parametrize("rule", RULES)
# Lengths up to 1/3 have the quality -1, from 11/3 on 1.
STATISTICS = {"mean": 2.0, "std": 1.0}
NUMBERS = {"scale": 2.0, "margin": 0.4, "h": 0.6}
ANGLES = [0.01, 0.1, 0.3, 0.45, 0.9, 1.6, 2.5, 2.8, 3.13]
LENGTHS = [0.1, 1.0, 1.9, 3.0, 300.0]


def _quality(x_BD: Tensor, mean: float, std: float, h: float) -> Tensor:
    length_B = torch.clip(x_BD.norm(dim=1), 0.001, 100).detach()
    return torch.clip(h * (length_B - mean) / (std + 1e-3), -1, 1)


def published(
    x_BD: Tensor, labels: Tensor, w_CD: Tensor, *, mean: float, std: float, scale: float,
    margin: float, h: float, rule: str, label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """The terms, by the arc cosine and torch's own clip, softmax and gradients."""
    quality_B = _quality(x_BD, mean, std, h)
    cosine_BC = F.normalize(x_BD) @ F.normalize(w_CD).T
    cosine_B = cosine_BC[torch.arange(len(labels)), labels]
    angle_B = torch.acos(cosine_B) - margin * quality_B
    if rule == "true":
        own_B = torch.clip(angle_B, 1e-3, math.pi - 1e-3).cos()
    else:
        own_B = cosine_B - cosine_B.detach() + angle_B.detach().cos()
    own_B = own_B - margin * (1 + quality_B)
    logits_BC = scale * cosine_BC.scatter(1, labels[:, None], own_B[:, None])
    return F.cross_entropy(logits_BC, labels, reduction="none", label_smoothing=label_smoothing)


def _rows(
    pairs: list[tuple[float, float]], dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings at these angles from class weight 0 and of these lengths, and another class across
    the plane, that no gradient of the first is lost in."""
    theta, length = torch.tensor(pairs, dtype=torch.float64).unbind(dim=1)
    x_BD = length[:, None] * torch.stack((theta.cos(), theta.sin(), 0 * theta), dim=1)
    w_CD = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    labels = torch.zeros(len(pairs), dtype=torch.int64, device=device)
    return x_BD.to(device, dtype), labels, w_CD.to(device, dtype)


@every_rule
@every_form
def test_value_and_gradients_are_the_published_formulas(module, rule: str, device: str):
    pairs = [(theta, length) for length in LENGTHS for theta in ANGLES]
    x_BD, labels, w_CD = _rows(pairs)
    close = 1e-10
    if module is fused:
        (x_BD, labels, w_CD), close = _rows(pairs, torch.float32, device), 4e-6
    x_BD.requires_grad_(), w_CD.requires_grad_()
    wide = [t.detach().cpu().double().requires_grad_() for t in (x_BD, w_CD)]
    got = module.adaface(x_BD, labels, w_CD, **STATISTICS, **NUMBERS, rule=rule, reduction="none")
    want = published(wide[0], labels.cpu(), wide[1], **STATISTICS, **NUMBERS, rule=rule)
    torch.testing.assert_close(got.cpu().double(), want, rtol=close, atol=close)
    mine = torch.autograd.grad(got.sum(), [x_BD, w_CD])
    for one, right in zip(mine, torch.autograd.grad(want.sum(), wide), strict=True):
        torch.testing.assert_close(one.cpu().double(), right, rtol=10 * close, atol=10 * close)


def test_of_a_fixed_length_the_gradient_is_the_derivative():
    """And none of it is along the embedding, though the margin goes by its length."""
    pairs = [(theta, length) for length in LENGTHS for theta in ANGLES]
    step = 1e-6
    x_BD, labels, w_CD = _rows(pairs)
    x_BD.requires_grad_()

    def terms(x_BD: Tensor) -> Tensor:
        return reference.adaface(x_BD, labels, w_CD, **STATISTICS, **NUMBERS, reduction="none")

    ahead, behind = (terms(_rows([(t + by, n) for t, n in pairs])[0]) for by in (step, -step))
    (gradient,) = torch.autograd.grad(terms(x_BD).sum(), x_BD)
    theta, length = torch.tensor(pairs, dtype=torch.float64).unbind(dim=1)
    across = torch.stack((-theta.sin(), theta.cos(), 0 * theta), dim=1)
    by_angle = (gradient * across).sum(dim=1) * length
    torch.testing.assert_close(by_angle, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-7)
    assert (gradient * x_BD).sum(dim=1).abs().max() < 1e-13


@every_rule
@of_float64
def test_the_sub_gradient_at_the_poles_and_at_norm_zero(module, rule: str):
    """Exactly along and against its class weight the margin gives no gradient; nor do zeros."""
    x_BD = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    w_CD = torch.tensor([[4.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    x_BD.requires_grad_(), w_CD.requires_grad_()
    labels = torch.zeros(3, dtype=torch.int64)
    terms = module.adaface(x_BD, labels, w_CD, 2.5, 0.1, **NUMBERS, rule=rule, reduction="none")
    assert float(terms[2].detach()) == pytest.approx(math.log(2))
    for gradient in torch.autograd.grad(terms.sum(), [x_BD, w_CD]):
        assert gradient.abs().max() <= 1e-15


@pytest.mark.parametrize("module", (eager, tiled, fused))
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("away", (2e-3, 0.0))
def test_a_steep_slope_is_right_in_few_bits(module, dtype, away: float, seed: int):
    """Of short embeddings next to their class weights, against the reference on the very same
    rounded numbers."""
    generator = torch.Generator().manual_seed(seed)
    w_CD = torch.randn(5, 32, generator=generator).to(dtype)
    labels = torch.arange(15) % 5
    x_BD = (w_CD[labels].float() + away * torch.randn(15, 32, generator=generator)).to(dtype)
    options = {"mean": 10.0, "std": 2.0, "scale": 4.0, "reduction": "sum"}
    got, want = (
        torch.autograd.grad(of.adaface(x, labels, w, **options), [x, w])
        for of, x, w in (
            (module, x_BD.requires_grad_(), w_CD.requires_grad_()),
            (reference, *(t.detach().double().requires_grad_() for t in (x_BD, w_CD))),
        )
    )
    for mine, right in zip(got, want, strict=True):
        assert torch.isfinite(mine).all()
        error = float((mine.double() - right).norm() / right.norm())
        assert error <= 16 * torch.finfo(dtype).eps


@pytest.mark.parametrize(
    ("statistics", "h", "same"),
    [({"mean": 50.0, "std": 1.0}, 1.0, arcface.arcface), (STATISTICS, 0.0, cosface.cosface)],
    ids=("short", "no share"),
)
def test_at_its_ends_it_is_arcface_and_cosface(statistics, h: float, same, seed: int):
    tensors = draw(LOSS.variants[0], RAGGED, "float64", seed).tensors | statistics
    got = eager.adaface(**tensors, margin=0.4, h=h, reduction="none")
    plain = {k: tensors[k] for k in ("embeddings", "labels", "class_weights")}
    want = same(**plain, scale=64.0, margin=0.4, reduction="none")
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@every_rule
def test_smoothing_has_each_rows_margin(rule: str, seed: int):
    tensors = draw(LOSS.variants[0], RAGGED, "float64", seed).tensors
    x, w = tensors["embeddings"], tensors["class_weights"]
    mean, std = float(tensors["mean"]), float(tensors["std"])
    got = adaface(
        x, tensors["labels"], w, mean, std, **NUMBERS, rule=rule, label_smoothing=0.2,
        reduction="none", implementation="eager",
    )  # fmt: skip
    want = published(
        x, tensors["labels"], w, mean=mean, std=std, **NUMBERS, rule=rule, label_smoothing=0.2
    )
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    found = (torch.autograd.grad(terms.sum(), [x, w]) for terms in (got, want))
    for mine, right in zip(*found, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("one", "rule"), [*zip(public_code.PUBLIC_CODE, RULES, strict=True)])
def test_public_code_is_a_variant_where_it_clips_no_cosine(one, rule: str, seed: int):
    generator = torch.Generator().manual_seed(seed)
    x_BD, w_CD = (torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    labels = torch.arange(6)
    got = one.function(20 * x_BD, labels, w_CD)
    want = eager.adaface(20 * x_BD, labels, w_CD, 20.0, 100.0, rule=rule)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def _moved(start: float, now: Tensor, t_alpha: float = 0.25) -> Tensor:
    return ((1 - t_alpha) * start + t_alpha * now).float()


def _drawn(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(rows, 4, generator=generator)
    return x_BD * torch.linspace(0.1, 200, rows)[:, None], torch.arange(rows) % 3


def test_the_statistics_move_in_place_and_before_they_are_used(seed: int):
    loss = AdaFaceLoss(4, 3, scale=2.0, t_alpha=0.25, reduction="none")
    x_BD, labels = _drawn(9, seed)
    mean, std = loss.mean, loss.std
    assert (float(mean), float(std)) == (20, 100)
    got = loss(x_BD, labels)
    length_B = x_BD.double().norm(dim=1).clip(0.001, 100)
    assert loss.mean is mean and loss.std is std
    torch.testing.assert_close(mean, _moved(20, length_B.mean()))
    torch.testing.assert_close(std, _moved(100, length_B.std()))
    own = {"mean": float(mean), "std": float(std), "scale": 2.0, "margin": 0.4, "h": 0.333}
    want = published(x_BD.double(), labels, loss.class_weights.double(), **own, rule="true")
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)
    kept = mean.clone(), std.clone()
    loss.eval()
    assert torch.equal(loss(x_BD, labels), got)
    assert (mean, std) == kept
    loss.train().reset_parameters()
    assert (float(mean), float(std)) == (20, 100)


@pytest.mark.parametrize("value", (math.nan, math.inf))
def test_a_batch_with_a_nan_leaves_the_statistics(value: float):
    """Which a CPU refuses; a GPU, which can't look, goes on with what it followed."""
    loss = AdaFaceLoss(4, 3)
    x_BD, labels = _drawn(5, 0)
    x_BD[2, 1] = value
    with pytest.raises(InputError, match="embeddings: expected finite"):
        loss(x_BD, labels)
    assert [float(one) for one in (loss.mean, loss.std, *loss._followed(x_BD))] == [20, 100] * 2


def test_refused_labels_leave_the_statistics():
    loss = AdaFaceLoss(4, 3)
    with pytest.raises(InputError, match="labels: expected"):
        loss(_drawn(5, 0)[0], torch.tensor([0, 1, 2, 3, 0]))
    assert (float(loss.mean), float(loss.std)) == (20, 100)


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16))
def test_in_16_bits_the_statistics_still_move(dtype: torch.dtype):
    loss = AdaFaceLoss(4, 3, t_alpha=0.01)
    loss.mean.fill_(20.03)
    loss = loss.to(dtype)
    assert loss.class_weights.dtype == dtype and float(loss.mean) == pytest.approx(20.03)
    x_BD = torch.full((6, 4), 9.0).to(dtype)
    loss(x_BD, torch.tensor([0, 1, 2, 0, 1, 2]))
    assert float(loss.mean) == pytest.approx(0.99 * 20.03 + 0.01 * 18, rel=1e-6)
    assert loss.double().mean.dtype == torch.float64


def test_one_row_is_named_in_training_alone():
    loss = AdaFaceLoss(4, 3)
    x_BD, labels = _drawn(1, 0)
    with pytest.raises(InputError, match=r"^embeddings: expected two rows or more.+\(1, 4\)"):
        loss(x_BD, labels)
    assert (float(loss.mean), float(loss.std)) == (20, 100)
    for update in (eager.moved_mean, eager.moved_std):
        with pytest.raises(InputError, match=r"^embeddings: expected two rows"):
            update(x_BD, torch.tensor(1.0))
    assert torch.isfinite(loss.eval()(x_BD, labels))


def test_no_step_of_the_statistics_waits_for_a_gpu():
    """Tensors without data stand in for a GPU's: whatever looked at a value would raise."""
    loss = AdaFaceLoss(4, 3).to("meta")
    loss._followed(torch.empty(5, 4, device="meta"))


def _on_a_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    loss = AdaFaceLoss(4, 3, t_alpha=0.25)
    # The second rank has the last row alone.
    found = loss._followed(_drawn(5, 1)[0][slice(4, 5) if rank else slice(0, 4)])
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()
    # As in kernels/tests/test_data_parallel.py: gloo's threads may outlive the group.
    os._exit(0)


def test_the_rows_of_all_ranks_count(tmp_path: Path):
    """Forked, for a spawned process imports torch anew; what they do takes no thread."""
    torch.multiprocessing.start_processes(
        _on_a_rank, args=(str(tmp_path),), nprocs=2, start_method="fork"
    )
    alone = AdaFaceLoss(4, 3, t_alpha=0.25)
    alone(*_drawn(5, 1))
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(found, (alone.mean, alone.std))


BAD = [
    *(("margin", v) for v in (-0.1, 3.2, math.nan, "1")),
    *(("h", v) for v in (-0.1, math.inf, math.nan, "1")),
    *(("scale", v) for v in (0.0, math.inf)),
    ("rule", "clipped"),
]


@pytest.mark.parametrize(("argument", "value"), BAD, ids=str)
def test_bad_options_are_named(argument: str, value: object):
    x_BD, labels, w_CD = _rows([(0.3, 1.0), (0.4, 2.0)])
    for module in (eager, tiled):
        with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
            module.adaface(x_BD, labels, w_CD, **STATISTICS, **{argument: value})
    with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
        AdaFaceLoss(3, 2, **{argument: value})


@pytest.mark.parametrize("argument", ("mean", "std"))
@pytest.mark.parametrize(
    "value",
    (-1.0, math.nan, "1", torch.tensor(-1.0), torch.tensor(math.nan), torch.ones(2),
     torch.tensor(1)),
    ids=str,
)  # fmt: skip
def test_bad_statistics_are_named(argument: str, value: object):
    x_BD, labels, w_CD = _rows([(0.3, 1.0), (0.4, 2.0)])
    with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
        adaface(x_BD, labels, w_CD, **{**STATISTICS, argument: value})


@pytest.mark.parametrize("value", (-0.1, 1.1, math.nan, "1"))
def test_a_bad_share_is_named(value: object):
    with pytest.raises(InputError, match=r"^t_alpha: expected .+; got "):
        AdaFaceLoss(3, 2, t_alpha=value)
    for update in (eager.moved_mean, eager.moved_std):
        with pytest.raises(InputError, match=r"^t_alpha: expected .+; got "):
            update(_drawn(3, 0)[0], torch.tensor(1.0), t_alpha=value)
