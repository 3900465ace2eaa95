"""Data-parallel training on two processes: network and loss in one module, so that DDP averages the
gradients of both.

    python ddp.py

Each rank has its own batch; with reduction="mean" and batches of one size the averaged gradients
are those of the whole batch in one process. The class weights are a copy on each rank. Triplets and
pairs are those of a rank's own batch. Centers are moved by the embeddings of all ranks.
"""

import tempfile

import torch
import torch.multiprocessing as processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import marginbench

RANKS = 2


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16))
        self.loss = marginbench.CenterLoss(dim=16, classes=10)

    def forward(self, inputs, labels):
        embeddings = self.network(inputs)
        return self.loss(embeddings, labels), embeddings


def train(rank: int, meeting: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=RANKS
    )
    torch.manual_seed(0)
    model = Model()
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.2)
    torch.manual_seed(rank)
    for step in range(50):
        inputs = torch.randn(64, 32)
        labels = inputs[:, :10].argmax(dim=1)
        value, embeddings = parallel(inputs, labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        model.loss.update(embeddings, labels)
        if rank == 0 and step % 10 == 0:
            print(f"step {step}: loss {value.item():.4f}", flush=True)
    sums = torch.stack([model.loss.class_weights.sum(), model.loss.centers.sum()])
    everyone = [torch.empty_like(sums) for _ in range(RANKS)]
    torch.distributed.all_gather(everyone, sums)
    if rank == 0:
        print(f"the same on every rank: {all(torch.equal(one, sums) for one in everyone)}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        processes.spawn(train, args=(f"{folder}/meeting",), nprocs=RANKS)
