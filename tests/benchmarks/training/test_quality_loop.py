"""What a step sees and does: networks, mined partners, images read ahead, half precision, the
optimiser's settings, and what is tested."""

from __future__ import annotations

import dataclasses
import random
import threading
import time

import pytest
import torch
from quality_cases import without_times

from benchmarks.training import backbones, datasets, mining, training
from benchmarks.training.evaluation import EvaluationSplit, chosen
from benchmarks.training.loop import Run, cpu_threads
from benchmarks.training.mining import OfflineMiner
from benchmarks.training.verification import Pairs
from marginbench.checks import InputError
from suites.jobs import Job, Settings, Term
from suites.schema import TrainingResult

QUICK = Settings(2, evaluation_images=100)


def job(seed: int, *terms: Term, **changes) -> Job:
    return Job("x", "x", terms or (Term("softmax"),), "digits", seed,
               dataclasses.replace(QUICK, **changes))  # fmt: skip


class Streamed:
    """Images as a folder gives them: read by row, at a pace of their own, by any thread."""

    def __init__(self, images: torch.Tensor, fail_after: int | None = None) -> None:
        self.images, self.fail_after = images, fail_after
        self.shape, self.reads, self.readers = images.shape, 0, set()

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        self.reads += 1
        self.readers.add(threading.current_thread().name)
        if self.fail_after is not None and self.reads > self.fail_after:
            raise OSError("planted: the disk is gone")
        time.sleep(random.random() * 2e-3)
        return self.images[rows]


def streamed(monkeypatch, **changes) -> Streamed:
    data = datasets.digits()
    images = Streamed(data.images, **changes)
    other = dataclasses.replace(data, images=images)
    monkeypatch.setattr(datasets, "load", lambda name: other)
    return images


@pytest.mark.parametrize("name", backbones.BACKBONES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 30)])
def test_networks_take_the_shapes_and_draw_from_the_generator_alone(name, shape, seed: int):
    images = torch.rand(3, *shape)

    def built(**options) -> torch.nn.Module:
        torch.manual_seed(random.randrange(2**31))
        return backbones.build(name, shape, 2, torch.Generator().manual_seed(seed), **options)

    x_BD, again_BD = (built().eval()(images) for _ in range(2))
    assert x_BD.shape == (3, 2)
    assert torch.equal(x_BD, again_BD)
    assert torch.equal(built(last_relu=True).eval()(images), x_BD.relu())


def test_lenet_plus_plus_is_that_of_the_paper():
    network = backbones.build("lenet++", (1, 28, 28), 2, torch.Generator())
    kinds = [type(layer).__name__ for layer in network.layers]
    stage = ["Conv2d", "PReLU", "Conv2d", "PReLU", "MaxPool2d"]
    assert kinds == [*stage * 3, "Flatten", "Linear"]
    convs = [layer for layer in network.layers if isinstance(layer, torch.nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.padding) for c in convs] == [
        (maps, (5, 5), (2, 2)) for maps in (32, 32, 64, 64, 128, 128)
    ]
    with pytest.raises(InputError, match=r"8 x 8 pixels or more .*; got 7 x 28"):
        backbones.build("lenet++", (1, 7, 28), 2, torch.Generator())


@pytest.mark.parametrize("rule", mining.RULES)
def test_mined_partners_are_those_of_the_rule(rule: str, seed: int, monkeypatch):
    monkeypatch.setattr(mining, "_CHUNK", 100)  # several chunks
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(40) % 5
    x_ND = torch.randn(40, 3, generator=generator)
    rows = torch.randint(40, (60,), generator=generator)
    positive, negative = OfflineMiner(labels, rule, generator).mine(lambda of: x_ND[of], rows)
    distance = torch.cdist(x_ND.double(), x_ND.double())
    for a, p, n in zip(rows.tolist(), positive.tolist(), negative.tolist(), strict=True):
        assert labels[p] == labels[a] and p != a
        others = [i for i in range(40) if labels[i] != labels[a]]
        beyond = [i for i in others if distance[a, i] > distance[a, p]]
        if rule == "offline-hard":
            assert n == min(others, key=lambda i: float(distance[a, i]))
        elif beyond:
            assert n == min(beyond, key=lambda i: float(distance[a, i]))
        else:
            assert n == max(others, key=lambda i: float(distance[a, i]))


def test_a_large_training_set_is_mined_in_a_drawn_part(seed: int, monkeypatch):
    monkeypatch.setattr(mining, "MOST", 12)
    labels = torch.arange(200) % 4
    asked = []

    def embed(rows: torch.Tensor) -> torch.Tensor:
        asked.append(rows)
        return torch.randn(len(rows), 3, generator=torch.Generator().manual_seed(seed))

    miner = OfflineMiner(labels, "offline-hard", torch.Generator().manual_seed(seed))
    rows = torch.tensor([3, 50, 3, 199])
    for _ in range(2):
        positive, negative = miner.mine(embed, rows)
        assert torch.isin(torch.cat([rows, positive, negative]), asked[-1]).all()
        assert len(asked[-1]) <= 12 + 8
        assert (labels[negative] != labels[rows]).all()
    assert not torch.equal(*(of[:10] for of in asked)), "another part each time"


def test_offline_mining_takes_the_latest_weights_every_so_many_steps(seed: int, monkeypatch):
    mined = []
    real = OfflineMiner.mine

    def mine(self, embed, rows):
        found = real(self, embed, rows)
        mined.append((len(rows), found[1], embed(rows[:5]).clone()))
        return found

    monkeypatch.setattr(OfflineMiner, "mine", mine)
    triplet = Term("triplet", "explicit")
    of = job(seed, triplet, partners="offline-hard", mine_every=5)
    result = training.run(of)
    assert result.status == "ok", result.reason
    # 12 steps of 60 an epoch: mined before steps 0, 5, 10, where the epoch begins, 15 and 20.
    assert [count // 60 for count, *_ in mined] == [5, 5, 2, 3, 5, 4]
    torch.testing.assert_close(mined[0][2].norm(dim=1), torch.ones(5))  # as the loss sees them
    assert result.settings["partners"] == "offline-hard"
    at_random = training.run(job(seed, triplet))
    assert at_random.epochs[1]["train_loss"] < result.epochs[1]["train_loss"]
    refused = training.run(job(seed, triplet, partners="hardest"))
    assert "partners: expected random, offline-hard" in refused.reason.replace("one of ", "")


def test_images_that_are_read_ahead_change_no_number(seed: int, monkeypatch):
    terms = (Term("softmax"), Term("contrastive", "pairs"))
    expected = training.run(job(seed, *terms))
    images = streamed(monkeypatch)
    result = training.run(job(seed, *terms))
    assert (result.status, result.reason) == ("ok", "")
    assert without_times(result.epochs) == without_times(expected.epochs)
    assert any(name.startswith("loader") for name in images.readers)
    for row in result.epochs[1:]:
        assert 0 < row["data_wait_share"] <= 1
    assert not [t for t in threading.enumerate() if t.name.startswith("loader")]


def test_an_image_that_can_not_be_read_ends_its_training_alone(seed: int, monkeypatch):
    streamed(monkeypatch, fail_after=9)
    result = training.run(job(seed))
    assert (result.status, result.reason) == ("not_run", "OSError: planted: the disk is gone")
    assert not [t for t in threading.enumerate() if t.name.startswith("loader")]


def test_half_precision_trains_nearly_the_same(seed: int):
    half, full = (training.run(job(seed, autocast=dtype)) for dtype in ("bfloat16", ""))
    assert half.status == "ok", half.reason
    loss = full.metrics["train_loss"]
    assert half.metrics["train_loss"] != loss
    assert half.metrics["train_loss"] == pytest.approx(loss, rel=0.1)


def test_the_learning_rate_drops_and_weights_alone_decay(seed: int):
    of = job(seed, optimiser="sgd", momentum=0.5, weight_decay=0.1, learning_rate=0.08,
             decay_at=(0.25, 0.75), decay_factor=0.5)  # fmt: skip
    run = Run(of, datasets.digits())
    decaying, others = run.optimiser.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert decaying["momentum"] == 0.5
    assert {p.ndim for p in decaying["params"]} == {2}
    assert {p.ndim for p in others["params"]} == {1}
    rates = []
    step = run.optimiser.step
    run.optimiser.step = lambda: (rates.append(decaying["lr"]), step())
    with cpu_threads(1):
        list(run.epochs())
    assert rates == [0.08] * 6 + [0.04] * 12 + [0.02] * 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimiser": "lion"}, "optimiser: expected one of adam, sgd; got 'lion'"),
        ({"sampler": "odd"}, "sampler: expected one of 'auto', 'balanced', 'shuffled'; got 'odd'"),
        ({"autocast": "int8"}, "autocast: expected one of '', 'bfloat16', 'float16'"),
        ({"evaluate_every": 0}, "evaluate_every: expected 1 or more; got 0"),
        ({"backbone": "vit"}, "backbone: expected one of mlp, lenet++, resnet; got 'vit'"),
    ],
)
def test_settings_that_do_not_exist_are_reported(change: dict, message: str, seed: int):
    result = training.run(job(seed, **change))
    assert result.status == "not_run"
    assert message in result.reason


def test_the_sampler_can_be_chosen(seed: int):
    def sampler(**changes) -> TrainingResult:
        return Run(job(seed, **changes), datasets.digits()).description()["sampler"]

    assert sampler() == sampler(sampler="shuffled") == "shuffled"
    assert sampler(sampler="balanced") == "P x K"


def test_what_is_tested_is_even_over_identities_and_flipped_where_said(seed: int):
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
    assert chosen(labels, 100).tolist() == list(range(8))
    assert chosen(labels, 6).tolist() == [0, 1, 2, 5, 6, 7]
    # Of more identities than that, fewer are asked, so that each has another image to find.
    many = torch.arange(300) // 3
    taken, count = torch.unique(many[chosen(many, 40)], return_counts=True)
    assert taken.tolist() == list(range(0, 100, 5))
    assert (count == 2).all()
    run = Run(job(seed), datasets.digits())
    embed = run.evaluation.embed
    rows = torch.arange(30)
    images = datasets.digits().images[:30]
    expected = run.network(images) + run.network(images.flip(-1))
    torch.testing.assert_close(embed(rows, flip=True), expected.detach())
    torch.testing.assert_close(embed(rows), run.network(images).detach())
    flipped = training.run(job(seed, flip=True))
    assert "mirror's embedding" in flipped.settings["protocol"]["flip"]
    assert flipped.epochs[0]["map_at_r"] != training.run(job(seed)).epochs[0]["map_at_r"]


def test_given_pairs_win_over_drawn_ones_and_keep_their_images():
    indices = torch.tensor([[0, 1], [5, 890], [700, 2]])
    given = Pairs(indices, torch.tensor([True, False, False]), torch.arange(3))
    data = dataclasses.replace(datasets.digits(), pairs=given)
    split = EvaluationSplit(data, "test", 20)
    assert torch.equal(split.rows[split.pairs.indices], data.rows("test")[indices])
    assert torch.equal(split.labels, data.labels("test")[torch.isin(data.rows("test"), split.rows)])
    assert split.pairs_given and not EvaluationSplit(data, "seen", 20).pairs_given


def test_epochs_between_evaluations_are_reported_and_not_measured(seed: int):
    calls = []
    of = job(seed, epochs=5, evaluate_every=2)
    result = training.run(of, progress=lambda at: calls.append(at.epoch))
    assert calls == list(range(6))
    assert [row["epoch"] for row in result.epochs] == [0, 2, 4, 5]
    assert result.epochs[0].keys() == result.epochs[1].keys()
