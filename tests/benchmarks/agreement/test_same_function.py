"""Heads are told apart by value and by gradient; planted ones are what they are."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from benchmarks.agreement import same_function
from benchmarks.agreement.same_function import Held
from marginbench import catalogue, public_code
from marginbench.public_code import cosine_head, detached

SCALE, MARGIN = 24.0, 0.4
GIVEN = {"scale": SCALE, "margin": MARGIN}


def turned(cosine: torch.Tensor) -> torch.Tensor:
    return (cosine.acos() + MARGIN).cos()


def held(head: same_function.Head, given: dict = GIVEN) -> dict[str, Held]:
    return {f"{one.loss}/{one.variant}": one for one in same_function.hold(head, given)}


def test_a_detached_gradient_is_told_from_the_true_one():
    true = held(cosine_head(turned, scale=SCALE))
    assert true["arcface/true"].verdict == "same"
    assert true["arcface/detached"].verdict == "value"
    frozen = held(cosine_head(detached(turned), scale=SCALE))
    assert frozen["arcface/detached"].verdict == "same"
    assert frozen["arcface/true"].verdict == "value"
    found = frozen["arcface/true"].differs
    assert not found["value"] and same_function.where(found["embeddings"]) == "everywhere"


def test_another_margin_is_different():
    found = held(cosine_head(turned, scale=SCALE), {"scale": SCALE, "margin": 0.41})
    assert {one.verdict for name, one in found.items() if name != "arcface/easy"} == {"different"}


def test_where_a_guard_differs_is_said():
    found = held(cosine_head(turned, scale=SCALE))["arcface/guarded"]
    assert found.verdict == "part"
    # pi - m is 157 degrees.
    assert same_function.where(found.differs["value"]) == "162° to 179.7°"


def test_a_sum_is_named_as_a_factor():
    def total(embeddings, labels, class_weights):
        return len(labels) * cosine_head(turned, scale=SCALE)(embeddings, labels, class_weights)

    found = held(total)["arcface/true"]
    assert (found.verdict, found.factor) == ("same", pytest.approx(3))


def test_what_forgets_to_normalise_is_named():
    def forgets(embeddings, labels, class_weights):
        cosine_BC = embeddings @ F.normalize(class_weights).T
        return F.cross_entropy(SCALE * cosine_BC, labels)

    found = held(forgets)["normface/fixed"]
    # On unit embeddings the value is the same; the gradient lacks the projection.
    assert found.verdict == "different" and found.only == ""

    def only_weights(embeddings, labels, class_weights):
        unit_BD = embeddings / embeddings.norm(dim=1, keepdim=True)
        return F.cross_entropy(SCALE * unit_BD @ class_weights.T, labels)

    assert held(only_weights)["normface/fixed"].verdict == "different"


def test_class_weights_overwritten_in_place_have_another_gradient():
    found = held(cosine_head(lambda c: c - MARGIN, scale=SCALE, in_place=True))["cosface/margin"]
    assert found.verdict == "value" and not found.differs["embeddings"]
    assert same_function.where(found.differs["class_weights"]) == "everywhere"


def test_targets_are_at_their_angles():
    for case, degrees in zip(same_function.cases(), same_function.DEGREES, strict=False):
        own_BD = F.normalize(case.class_weights)[case.labels]
        cosine_B = (F.normalize(case.embeddings) * own_BD).sum(dim=1)
        expected = torch.full_like(cosine_B, math.cos(math.radians(degrees)))
        torch.testing.assert_close(cosine_B, expected)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (lambda *_: 1.0, "got float"),
        (lambda x, *_: x, "got the shape"),
        (lambda x, *_: x.detach().sum(), "without"),
    ],
)
def test_what_is_no_loss_is_refused(head, said: str):
    with pytest.raises(ValueError, match=said):
        same_function.hold(head, {})


def by_length(frozen: bool) -> same_function.Head:
    """MagFace's at all angles."""

    def loss(embeddings, labels, class_weights):
        a_B1 = embeddings.norm(dim=1, keepdim=True).clamp(10, 110)
        a_B1 = a_B1.detach() if frozen else a_B1
        margin_B1 = 0.45 + 0.0035 * (a_B1 - 10)
        head = cosine_head(lambda cosine: (cosine.acos() + margin_B1).cos(), scale=64)
        added = 35 * (a_B1 / 110**2 + 1 / a_B1).mean()
        return head(embeddings, labels, class_weights) + added

    return loss


def test_a_gradient_along_the_length_is_told_from_none(monkeypatch: pytest.MonkeyPatch):
    own = catalogue.get("magface")
    monkeypatch.setattr(same_function, "variants", lambda _: [(own, v) for v in own.variants])
    assert held(by_length(frozen=False), {})["magface/true"].verdict == "same"
    found = held(by_length(frozen=True), {})["magface/true"]
    assert found.verdict == "value" and not found.differs["class_weights"]
    assert same_function.where(found.differs["embeddings"]) == "everywhere"


def test_numbers_are_given_where_other_options_tell_the_variants_apart():
    options = {
        loss.name: [same_function.options_of(loss, v, {"l_a": 3.0, "m": 3}) for v in loss.variants]
        for loss in catalogue.losses()
    }
    assert {one["l_a"] for one in options["magface"]} == {3.0}
    assert {one["m"] for one in options["a-softmax"]} == {1, 2, 3, 4}


def test_which_row_has_which_margin_is_told():
    def own(embeddings, labels, class_weights, margins):
        head = cosine_head(lambda cosine: (cosine.acos() + margins[:, None]).cos(), scale=SCALE)
        return head(embeddings, labels, class_weights)

    found = {
        one.variant: one for one in same_function.hold(own, {"scale": SCALE}, takes=("margins",))
    }
    verdicts = {name: one.verdict for name, one in found.items()}
    assert verdicts == {"arc": "same", "cos": "different", "sorted": "different"}
    everywhere = {q: same_function.where(n) for q, n in found["sorted"].differs.items()}
    assert set(everywhere.values()) == {"everywhere"}


def test_what_is_held_against_no_variant_is_left_out():
    every = same_function.left_out()
    assert every["elasticface/sorted"] == "margins" and every["cosface/sampled"] == "sampled"
    rest = same_function.left_out({("margins",)})
    assert set(every) - set(rest) == {f"elasticface/{rule}" for rule in ("arc", "cos", "sorted")}


def test_every_public_implementation_says_where_it_is_from_and_what_it_is():
    """Each agrees with one of ours, but for those that compute something of their own."""
    alone = set()
    for loss in catalogue.losses():
        for one in public_code.of(loss):
            assert one.source and one.name and callable(one.function), one
            if not one.installed:
                continue
            found = same_function.hold(one.function, one.options, one.takes)
            assert found, one.name
            if "same" not in {one.verdict for one in found}:
                alone.add(one.name)
    assert alone >= {"FaceX-Zoo ArcFace", "AdaFace ArcFace", "opensphere ArcFace"}
    assert alone >= {"ElasticFace ElasticArcFace plus", "FaceX-Zoo MagFace"}
    assert "pytorch-metric-learning ArcFaceLoss" not in alone
