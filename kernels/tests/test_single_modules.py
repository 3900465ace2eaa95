"""What single modules do: annealing, centers, mining rules, and triplets from a miner."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from library_cases import CLASSES, DIM, ROWS, labelled, leaf

import marginbench
from marginbench import InputError
from marginbench.implementations import WITHOUT_TILED


def test_the_annealing_goes_on_from_a_checkpoint():
    module = marginbench.ASoftmaxLoss(DIM, CLASSES, annealing=marginbench.Annealing())
    for _ in range(30):
        module.step()
    other = marginbench.ASoftmaxLoss(DIM, CLASSES, annealing=marginbench.Annealing())
    other.load_state_dict(module.state_dict())
    assert other.steps == 30
    assert other.annealing == module.annealing == pytest.approx(1000 / (1 + 0.12 * 30))


def test_the_annealing_follows_whoever_writes_its_buffer():
    """DDP copies the first rank's buffers to the others, an average of weights sets them."""
    module = marginbench.ASoftmaxLoss(DIM, CLASSES, annealing=marginbench.Annealing())
    first = module.annealing
    with torch.no_grad():
        module.annealing_steps.fill_(2_000)
    assert (module.steps, module.annealing) == (2_000, module.schedule(2_000))
    module.step()
    assert (module.steps, int(module.annealing_steps)) == (2_001, 2_001)
    x_BD, y_B = labelled(ROWS, 0)
    other = {"annealing_steps": torch.tensor(0)}
    called = torch.func.functional_call(module, other, (x_BD, y_B))
    assert module.steps == 2_001
    module.load_state_dict({**module.state_dict(), **other})
    assert module.annealing == first and torch.equal(called, module(x_BD, y_B))


def test_the_annealings_buffer_is_read_only_after_it_was_written():
    """Reading it waits for a GPU."""
    module = marginbench.ASoftmaxLoss(DIM, CLASSES, annealing=marginbench.Annealing())
    module.step()
    with mock.patch.object(module, "_go_to", side_effect=AssertionError("read")):
        assert module.annealing < 1_000 and module.steps == 1


@pytest.mark.parametrize("mining", ["batch-all", "batch-hard", "semi-hard", "semi-hard-all"])
def test_a_row_without_positives_counts_for_nothing(mining: str, seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    y_B = y_B.clone()
    y_B[5] = CLASSES  # alone with its label: a negative of all others, and nobody's positive
    module = marginbench.TripletLoss(mining, reduction="none")
    assert module(x_BD, y_B)[5] == 0
    alone = torch.arange(ROWS)
    assert module(x_BD, alone).sum() == 0
    assert marginbench.TripletLoss(mining)(x_BD, alone) == 0


def test_a_loss_without_tiled_says_so():
    with pytest.raises(InputError, match=f"one of {', '.join(WITHOUT_TILED)}; got 'tiled'"):
        marginbench.TripletLoss(implementation="tiled")
    with pytest.raises(InputError, match=f"one of {', '.join(WITHOUT_TILED)}; got 'tiled'"):
        marginbench.functional.triplet(*labelled(4, 0), implementation="tiled")


def test_triton_is_asked_for_and_missing():
    module = marginbench.TripletLoss(implementation="triton")
    missing = mock.patch("marginbench.implementations._has_triton", return_value=False)
    with (
        missing,
        pytest.raises(InputError, match="implementation: expected Triton to be installed"),
    ):
        module(*labelled(4, 0))


def test_a_miner_without_a_kernel_takes_eager_where_auto_is_triton(seed: int):
    with mock.patch("marginbench.implementations._automatic", return_value="triton"):
        mined = marginbench.miners.AllSemiHardMiner(margin=8.0)(*labelled(ROWS, seed))
    assert len(mined[0]) > 3


def test_centers_follow_by_the_papers_rule(seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    module = marginbench.CenterLoss(DIM, CLASSES, alpha=0.5)
    buffer = module.centers
    module(leaf(x_BD), y_B).backward()
    module.update(x_BD, y_B)
    assert module.centers is buffer  # filled in place
    for j in range(CLASSES):
        mine = x_BD[y_B == j].double()
        wanted = 0.5 * mine.sum(dim=0) / (1 + len(mine))  # from centers of 0
        assert torch.allclose(module.centers[j].double(), wanted, rtol=1e-6, atol=1e-6)


def test_ignored_rows_move_no_center(seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    module = marginbench.CenterLoss(DIM, CLASSES, ignore_index=-100)
    other = marginbench.CenterLoss(DIM, CLASSES)
    masked = y_B.clone()
    masked[::3] = -100
    module.update(x_BD, masked)
    kept = masked >= 0
    other.update(x_BD[kept], y_B[kept])
    assert torch.equal(module.centers, other.centers)


@pytest.mark.parametrize(
    ("mining", "miner"),
    [
        ("batch-hard", "BatchHardMiner"),
        ("semi-hard", "SemiHardMiner"),
        ("semi-hard-all", "AllSemiHardMiner"),
    ],
)
def test_indices_of_a_miner_take_the_place_of_mining(mining: str, miner: str, seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    module = marginbench.TripletLoss(mining, margin=8.0)
    margin = {"margin": 8.0} if mining == "semi-hard-all" else {}
    mined = getattr(marginbench.miners, miner)(**margin)(x_BD, y_B)
    assert len(mined[0]) > 3
    assert torch.isclose(module(x_BD, y_B, triplets=mined), module(x_BD, y_B), rtol=1e-5)


def test_without_triplets_the_loss_is_zero_and_two_of_three_are_refused(seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    module = marginbench.TripletLoss()
    none = tuple(torch.empty(0, dtype=torch.int64) for _ in range(3))
    x = leaf(x_BD)
    value = module(x, y_B, triplets=none)
    value.backward()
    assert value == 0 and not x.grad.any()
    with pytest.raises(
        InputError, match="triplets: expected indices of anchors, positives and negatives"
    ):
        module(x_BD, y_B, triplets=none[:2])


@pytest.mark.parametrize(
    ("triplets", "says"),
    [
        (torch.zeros(3), "got Tensor"),
        ((torch.tensor([0]), torch.tensor([1]), torch.tensor([ROWS])), rf"index in \[0, {ROWS}\)"),
        ((torch.tensor([0]), torch.tensor([-1]), torch.tensor([1])), rf"index in \[0, {ROWS}\)"),
        ((torch.tensor([0.0]),) * 3, "torch.float32"),
        (([0], [1], [2]), r"got \[0\]"),
        (
            (torch.tensor([0, 1]), torch.tensor([1]), torch.tensor([2])),
            r"got \[2, 1, 1",
        ),
    ],
    ids=["a tensor", "too large", "negative", "floats", "lists", "two lengths"],
)
def test_wrong_indices_are_named(triplets, says: str, seed: int):
    with pytest.raises(InputError, match=f"triplets: expected .*{says}"):
        marginbench.TripletLoss()(*labelled(ROWS, seed), triplets=triplets)


def test_centers_start_at_zero_also_where_they_are_made_late():
    for module in (
        marginbench.CenterLoss(DIM, CLASSES, device="meta"),
        marginbench.CenterTerm(DIM, CLASSES, device="meta"),
    ):
        module.to_empty(device="cpu")
        module.centers.fill_(3.0)
        module.reset_parameters()
        assert not module.centers.any()


def test_an_update_of_no_row_moves_nothing(seed: int):
    module = marginbench.CenterLoss(DIM, CLASSES, ignore_index=-100)
    module.update(*labelled(ROWS, seed))
    before = module.centers.clone()
    module.update(labelled(ROWS, seed)[0], torch.full((ROWS,), -100))
    assert torch.equal(module.centers, before)
    for labels in (torch.empty(0).long(), torch.empty(0).int()):
        module.update(torch.empty(0, DIM), labels)
    assert torch.equal(module.centers, before)


def test_annealing_under_compile_makes_two_graphs(seed: int):
    """One for the first lambda, one for all others."""
    from torch._dynamo.testing import CompileCounter

    x_BD, y_B = labelled(ROWS, seed)
    module = marginbench.ASoftmaxLoss(DIM, CLASSES, annealing=marginbench.Annealing())
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(module, fullgraph=True, backend=counter)
    for _ in range(6):
        assert torch.isclose(compiled(x_BD, y_B), module(x_BD, y_B), rtol=1e-5)
        module.step(50)
    assert counter.frame_count <= 2


def test_wrong_steps_are_named():
    module = marginbench.ASoftmaxLoss(DIM, CLASSES, annealing=marginbench.Annealing())
    for wrong in (-1, 0.5, True):
        with pytest.raises(InputError, match="steps: expected a whole number from 0 on"):
            module.step(wrong)
    with pytest.raises(InputError, match=r"m: expected 1, 2, 3 or 4; got 4\.0"):
        marginbench.ASoftmaxLoss(DIM, CLASSES, m=4.0)


@pytest.mark.parametrize(
    ("embeddings", "labels", "says"),
    [
        (torch.ones(3, DIM), [0, 1, 2], "labels: expected a tensor; got list"),
        (torch.ones(3, DIM), torch.tensor([0, 1]), r"labels: expected shape \(3,\); got shape"),
        (torch.ones(0, DIM), torch.tensor([0]), r"labels: expected shape \(0,\); got shape"),
        (torch.ones(3, DIM), torch.ones(3), "labels: expected dtype torch.int64 or torch.int32"),
        (torch.ones(3, DIM + 1), torch.full((3,), -100), f"embeddings: expected {DIM} columns as"),
        (torch.ones(0, DIM + 1), torch.zeros(0).long(), f"embeddings: expected {DIM} columns as"),
        (torch.ones(DIM), torch.tensor([0]), r"embeddings: expected a matrix \(rows x D\)"),
        (torch.ones(0, DIM).int(), torch.zeros(0).long(), "embeddings: expected a floating-point"),
    ],
)
def test_an_update_names_what_is_wrong(embeddings, labels, says: str):
    module = marginbench.CenterLoss(DIM, CLASSES, ignore_index=-100)
    with pytest.raises(InputError, match=says):
        module.update(embeddings, labels)


def test_no_triplet_comes_in_the_references_dtype():
    none = (torch.empty(0, dtype=torch.int64),) * 3
    module = marginbench.TripletLoss(implementation="reference")
    assert module(*labelled(ROWS, 0), none).dtype == torch.float64


def test_a_state_of_another_class_is_named():
    state = marginbench.SoftmaxLoss(DIM, CLASSES).state_dict()
    with pytest.raises(InputError, match=r"state: expected what CenterLoss\(.* keeps; got"):
        marginbench.CenterLoss.from_state_dict(state)


def test_a_subclass_may_take_an_option_of_heads():
    class Weighted(marginbench.TripletLoss):
        def __init__(self, *, weights: float, **options):
            super().__init__(**options)
            self.weights = weights

    assert Weighted(weights=2.0).weights == 2.0
