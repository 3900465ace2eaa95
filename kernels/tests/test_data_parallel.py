"""Two gloo processes: what DistributedDataParallel averages, and what all ranks count for."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import marginbench

RANKS, ROWS, DIM, CLASSES = 2, 12, 6, 5


class Model(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Linear(4, DIM)
        self.loss = getattr(marginbench, name)(DIM, CLASSES)

    def forward(self, inputs, labels):
        embeddings = self.network(inputs)
        return self.loss(embeddings, labels), embeddings


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(RANKS * ROWS, 4, generator=generator)
    return inputs, torch.randint(CLASSES, (RANKS * ROWS,), generator=generator)


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and labels of one rank."""
    _, labels = batch()
    generator = torch.Generator().manual_seed(2)
    return torch.randn(ROWS, DIM, generator=generator), labels[:ROWS]


def meet(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS,
        timeout=timedelta(seconds=60),
    )  # fmt: skip


def part() -> None:
    torch.distributed.destroy_process_group()
    # The ordinary end of a process now and then destroys a thread of gloo's that still runs, which
    # aborts it: about one run in ten ended like that after all was done.
    os._exit(0)


def work(rank: int, name: str, folder: str) -> None:
    meet(rank, folder)
    inputs, labels = batch()
    mine = slice(rank * ROWS, (rank + 1) * ROWS)
    model = Model(name)
    parallel = DistributedDataParallel(model)  # held: its hooks end with it
    value, embeddings = parallel(inputs[mine], labels[mine])
    value.backward()
    if hasattr(model.loss, "update"):
        # Ragged: the second rank brings fewer rows.
        rows = slice(0, ROWS - 3 * rank)
        model.loss.update(embeddings[rows], labels[mine][rows])
    state = {name: one.grad for name, one in model.named_parameters()}
    torch.save({"grads": state, "buffers": dict(model.named_buffers())}, f"{folder}/{rank}.pt")
    part()


def update_of_one(rank: int, folder: str) -> None:
    """The last rank has no row of this step."""
    meet(rank, folder)
    term = marginbench.CenterTerm(DIM, CLASSES)
    rows = slice(0, 0) if rank else slice(None)
    term.update(*(one[rows] for one in drawn()))
    torch.save(term.centers, f"{folder}/{rank}.pt")
    part()


def test_a_rank_without_rows_takes_part(tmp_path: Path):
    torch.multiprocessing.spawn(update_of_one, args=(str(tmp_path),), nprocs=RANKS)
    alone = marginbench.CenterTerm(DIM, CLASSES)
    alone.update(*drawn())
    for rank in range(RANKS):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt"), alone.centers)


@pytest.mark.parametrize("name", ["SoftmaxLoss", "CenterLoss"])
def test_gradients_are_those_of_the_whole_batch(name: str, tmp_path: Path):
    """The network's and the class weights': each rank's mean, averaged over ranks of equal size."""
    torch.multiprocessing.spawn(work, args=(name, str(tmp_path)), nprocs=RANKS)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS))
    inputs, labels = batch()
    alone = Model(name)
    value, embeddings = alone(inputs, labels)
    value.backward()
    for parameter, one in alone.named_parameters():
        # Sums of a few dozen products in another order.
        bound = 64 * torch.finfo(torch.float32).eps * float(one.grad.abs().max())
        assert (first["grads"][parameter] - one.grad).abs().max() <= bound, parameter
        assert torch.equal(first["grads"][parameter], second["grads"][parameter])
    if name == "CenterLoss":
        kept = torch.cat([torch.arange(ROWS), torch.arange(ROWS, 2 * ROWS - 3)])
        alone.loss.update(embeddings[kept], labels[kept])
        for state in (first, second):
            assert torch.equal(state["buffers"]["loss.centers"], alone.loss.centers)
