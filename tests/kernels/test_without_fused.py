"""A loss of a reference and eager alone: it is public, and where forms are listed it says why."""

from __future__ import annotations

from pathlib import Path

import guide_losses
import pytest
import torch

from benchmarks.contenders import candidates
from benchmarks.rows import Subject
from marginbench import InputError, catalogue, which
from marginbench.loss import Loss, Shape
from reports import loss_pages
from suites.listing import everything

NO_FORM = "no fused form"
FUNCTIONAL = '''
"""The ring loss as a function."""

from ..implementations import Files
from . import eager, reference

FILES = Files(eager, reference)


def ring(embeddings, *, radius=1.0, reduction="mean", implementation="auto"):
    """Half the squared difference between each embedding's length and a radius."""
    called = FILES.function("ring", implementation, embeddings)
    return called(embeddings, radius=radius, reduction=reduction)
'''
MODULES = '''
"""The ring loss as a module."""

from ..shared.modules import Loss
from .functional import FILES, ring


class RingLoss(Loss):
    """Half the squared difference between each embedding's length and a radius."""

    offered = FILES.offered

    def __init__(self, *, reduction="mean", implementation="auto"):
        super().__init__(reduction, implementation)

    def forward(self, embeddings):
        return ring(embeddings, reduction=self.reduction, implementation=self.implementation)
'''


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loss:
    loss = guide_losses.adopt("ring", tmp_path, monkeypatch)
    (tmp_path / "ring" / "functional.py").write_text(FUNCTIONAL)
    (tmp_path / "ring" / "modules.py").write_text(MODULES)
    return loss


def test_it_is_called_and_refuses_what_it_has_not(ring: Loss):
    function, made = ring.resolve("functional:ring"), ring.resolve("modules:RingLoss")
    x = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    for name in ("auto", "eager", "reference"):
        assert float(function(x, implementation=name)) == 4.0
        assert float(made(implementation=name)(x)) == 4.0
    for name in ("triton", "tiled"):
        says = f"implementation: expected one of auto, eager, reference; got '{name}'"
        for refuses in (lambda name=name: function(x, implementation=name),
                        lambda name=name: made(implementation=name)):  # fmt: skip
            with pytest.raises(InputError, match=says):
                refuses()


def test_auto_takes_eager_on_a_gpu_too(ring: Loss):
    assert which("ring", batch=8, device="cuda") == "eager"
    assert float(ring.resolve("auto:ring")(embeddings=torch.tensor([[3.0, 4.0]]))) == 8.0


def test_the_lists_say_that_it_has_no_fused_form(ring: Loss):
    (fixed,) = ring.variants
    assert fixed.excused["triton"] == NO_FORM
    (listed,) = (one for one in everything()["losses"] if one["name"] == "ring")
    assert listed["variants"][0]["excused"]["triton"] == NO_FORM
    assert f"| triton | not offered |  | {NO_FORM} |" in loss_pages.page(ring)
    subject = Subject(ring, fixed, Shape(4, 3, 2), "float32", "cpu")
    assert [one.contender.name for one in candidates(subject, compile=False)] == ["eager"]


def test_a_variant_that_has_one_says_nothing_of_it():
    for loss in catalogue.losses():
        for variant in loss.variants:
            names = {contender.name for contender in variant.contenders}
            assert ("triton" in names) != ("triton" in variant.excused), variant.name
