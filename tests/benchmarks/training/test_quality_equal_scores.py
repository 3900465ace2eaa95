"""Equal and nearly equal scores: every rate and threshold against a second definition in exact
fractions, which tries all thresholds one by one."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch

from benchmarks.training import retrieval, verification

# One rounding of each rate and of their mean, all of them at most 1.
ROUNDED = 2 * 2.0**-53
SHARES = {"tar_at_far_1_percent": Fraction(1, 100), "tar_at_far_0_1_percent": Fraction(1, 1000)}


def _scores(draw: random.Random, count: int) -> list[float]:
    """Few distinct ones, neighbours in float64 among them; or all equal; or all different."""
    kind = draw.choice(("coarse", "neighbours", "equal", "different"))
    if kind == "different":
        return [draw.uniform(-1, 1) for _ in range(count)]
    if kind == "equal":
        return [draw.uniform(-1, 1)] * count
    some = [draw.randrange(-4, 5) / 4 for _ in range(draw.randint(1, 4))]
    if kind == "neighbours":
        # Up to four apart: exact middles that float64 has, and such that it has to round.
        start = draw.uniform(-1, 1)
        some = [start]
        for _ in range(4):
            some.append(math.nextafter(some[-1], 2))
    return [draw.choice(some) for _ in range(count)]


def cases(seed: int, count: int = 300) -> Iterator[tuple[list[float], list[bool]]]:
    """Of both kinds at least one pair."""
    draw = random.Random(seed)
    while count:
        size = draw.randint(2, 14)
        same = [draw.random() < draw.choice((0.2, 0.5, 0.8)) for _ in range(size)]
        if any(same) and not all(same):
            count -= 1
            yield _scores(draw, size), same


def _tensors(scores: list[float], same: list[bool]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(same)


def _points(scores: list[float], same: list[bool]) -> list[tuple[Fraction, Fraction]]:
    """False and true accept rates at every score as the threshold, from above all of them down."""
    kinds = [[s for s, k in zip(scores, same, strict=True) if k is kind] for kind in (False, True)]
    return [
        tuple(Fraction(sum(s >= threshold for s in of), len(of)) for of in kinds)
        for threshold in (math.inf, *sorted(set(scores), reverse=True))
    ]  # type: ignore[return-value]


def _error_rates(scores: list[float], same: list[bool]) -> dict[str, Fraction]:
    points = _points(scores, same)
    # min takes the first of equally near ones, which is the highest threshold.
    far, tar = min(points, key=lambda point: abs(point[0] - (1 - point[1])))
    found = {"equal_error_rate": (far + 1 - tar) / 2}
    for name, share in SHARES.items():
        found[name] = max(tar for far, tar in points if far <= share)
    return found


def test_of_two_thresholds_as_near_the_higher_one_is_taken():
    """torchmetrics' example of `eer`: FAR and FRR are a sixth apart twice, 1/2 and 2/3 first."""
    scores, same = [0.13, 0.26, 0.08, 0.19, 0.34], [False, False, True, True, True]
    got = verification.error_rates(*_tensors(scores, same))["equal_error_rate"]
    assert got == pytest.approx(7 / 12, abs=ROUNDED)


def test_error_rates_are_exact_whatever_is_equal(seed: int):
    for scores, same in cases(seed):
        got = verification.error_rates(*_tensors(scores, same))
        for name, expected in _error_rates(scores, same).items():
            assert abs(Fraction(got[name]) - expected) <= ROUNDED, (scores, same, name)


def test_the_curve_has_a_point_for_each_distinct_score(seed: int):
    from sklearn.metrics import roc_curve

    for scores, same in cases(seed, 100):
        s, k = _tensors(scores, same)
        got = verification.receiver_operating(s, k)
        assert got is not None
        points = [(float(far), float(tar)) for far, tar in _points(scores, same)]
        assert list(zip(*(of.tolist() for of in got), strict=True)) == points, (scores, same)
        corners = verification.receiver_operating(s, k, corners_only=True)
        far, tar, _ = roc_curve(k, s, drop_intermediate=True)
        assert corners is not None
        assert [of.tolist() for of in corners] == [far.tolist(), tar.tolist()], (scores, same)


def _accuracy(scores: list[float], same: list[bool], fold: list[int]) -> Fraction | None:
    """Of the thresholds below, midway between and above the other folds' scores the lowest that
    classifies most of their pairs correctly; None where these are of one kind."""
    accuracies = []
    pairs = list(zip(map(Fraction, scores), same, fold, strict=True))
    for held in sorted(set(fold)):
        rest = [(score, kind) for score, kind, of in pairs if of != held]
        if len({kind for _, kind in rest}) < 2:
            return None
        values = sorted({score for score, _ in rest})
        middles = [(a + b) / 2 for a, b in itertools.pairwise(values)]
        thresholds = [Fraction(-2), *middles, Fraction(2)]
        right = [sum((score >= t) is kind for score, kind in rest) for t in thresholds]
        threshold = thresholds[right.index(max(right))]
        there = [(score >= threshold) is kind for score, kind, of in pairs if of == held]
        accuracies.append(Fraction(sum(there), len(there)))
    return sum(accuracies, Fraction(0)) / len(accuracies)


def test_verification_accuracy_is_exact_whatever_is_equal(seed: int):
    draw = random.Random(seed + 1)
    defined = 0
    for scores, same in cases(seed, 400):
        fold = [draw.randrange(3) for _ in scores]
        if len(set(fold)) < 2:
            continue
        pairs = verification.Pairs(
            torch.zeros(len(same), 2, dtype=torch.int64), torch.tensor(same), torch.tensor(fold)
        )
        got = verification.verification_accuracy(_tensors(scores, same)[0], pairs)
        expected = _accuracy(scores, same, fold)
        if expected is None:
            assert math.isnan(got)
            continue
        defined += 1
        assert got == pytest.approx(float(expected), abs=4 * ROUNDED), (scores, same, fold)
    assert defined > 100


@pytest.mark.parametrize("start", [1.0, 1.0 + 2**-52, 0.5 - 2**-54, 5e-324, -1.0, 1e308])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_scores_that_are_neighbours_are_distinguished(start: float, kind: torch.dtype):
    """Their middle is rounded to one of them, half of the time to the lower one."""
    if kind is torch.float32 and abs(start) in (5e-324, 1e308):
        start = 1e-45 if start < 1 else 3e38
    low = torch.tensor(start, dtype=kind)
    high = torch.nextafter(low, torch.tensor(math.inf, dtype=kind))
    assert high > low
    scores = torch.stack([high, low, high, low])
    same = torch.tensor([True, False, True, False])
    pairs = verification.Pairs(
        torch.zeros(4, 2, dtype=torch.int64), same, torch.tensor([0, 0, 1, 1])
    )
    assert verification.verification_accuracy(scores, pairs) == 1
    assert verification.error_rates(scores, same)["equal_error_rate"] == 0


def test_negative_zero_is_zero():
    scores, same = _tensors([0.0, -0.0, 0.0, -0.0], [True, False, False, True])
    assert verification.error_rates(scores, same)["equal_error_rate"] == 0.5


def test_equal_scores_are_worth_what_chance_is():
    """No order among them: nothing is accepted without everything."""
    scores, same = _tensors([0.25] * 12, [True] * 6 + [False] * 6)
    got = verification.error_rates(scores, same)
    assert got == {"equal_error_rate": 0.5, **dict.fromkeys(SHARES, 0.0)}
    pairs = verification.Pairs(torch.zeros(12, 2, dtype=torch.int64), same, torch.arange(12) % 3)
    assert verification.verification_accuracy(scores, pairs) == 0.5


@pytest.mark.parametrize(
    ("scores", "same"),
    [
        ([0.1, 0.2, 0.3, 0.4], [True] * 4), ([0.1, 0.2, 0.3, 0.4], [False] * 4),
        ([0.1, math.nan, 0.3, 0.4], [True, False, True, False]),
        ([0.1, 0.2, math.inf, 0.4], [True, False, True, False]), ([], []),
    ],
)  # fmt: skip
def test_what_is_not_defined_is_no_number(scores: list[float], same: list[bool]):
    """Pairs of one kind alone would all be classified correctly by accepting them all."""
    s, k = torch.tensor(scores, dtype=torch.float64), torch.tensor(same, dtype=torch.bool)
    assert all(map(math.isnan, verification.error_rates(s, k).values()))
    assert verification.receiver_operating(s, k) is None
    indices = torch.zeros(len(same), 2, dtype=torch.int64)
    pairs = verification.Pairs(indices, k, torch.arange(len(same)) % 2)
    assert math.isnan(verification.verification_accuracy(s, pairs))


def test_retrieval_answers_equal_scores_in_one_drawn_order(seed: int):
    """Corners of a cube, whose products are exact: counted by hand in the order that is drawn,
    whatever the order in which the images come."""
    draw = random.Random(seed)
    for _ in range(30):
        count = draw.randint(3, 14)
        corners = [[draw.choice((-0.5, 0.5)) for _ in range(4)] for _ in range(count)]
        labels = [draw.randrange(3) for _ in range(count)]
        generator = torch.Generator().manual_seed(retrieval._TIE_SEED)
        order = torch.randperm(count, generator=generator).tolist()
        right, average = [], []
        for query in order:
            others = [image for image in order if image != query]
            # A stable sort: equal scores stay in the drawn order.
            others.sort(key=lambda i: -sum(a * b for a, b in zip(corners[query], corners[i],
                                                                 strict=True)))  # fmt: skip
            hits = [labels[i] == labels[query] for i in others]
            r = sum(hits)
            if r:
                right.append(Fraction(hits[0]))
                precision = (Fraction(sum(hits[: k + 1]), k + 1) for k in range(r) if hits[k])
                average.append(sum(precision, Fraction(0)) / r)
        u = torch.tensor(corners, dtype=torch.float64)
        got = retrieval.retrieval(u, torch.tensor(labels))
        if not right:
            assert all(map(math.isnan, got))
            continue
        for figure, of in zip(got, (right, average), strict=True):
            # A dozen images: some 20 roundings of numbers up to 1.
            assert figure == pytest.approx(float(sum(of) / len(of)), abs=20 * ROUNDED)
