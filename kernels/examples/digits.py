"""A plain PyTorch loop: trains a small network on handwritten digits with a triplet loss, then
finds the nearest neighbours of digits that it has not seen. Needs scikit-learn for the pictures.

    python digits.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import marginbench

torch.manual_seed(0)
found = load_digits()
pictures = torch.tensor(found.data, dtype=torch.float32) / 16
labels = torch.tensor(found.target)
order = torch.randperm(len(labels))
train, test = order[:1200], order[1200:]

network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
loss = marginbench.TripletLoss(mining="semi-hard", margin=0.2)
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)


def embed(rows: torch.Tensor) -> torch.Tensor:
    return nn.functional.normalize(network(pictures[rows]), dim=1)


def accuracy() -> float:
    """How often the nearest training picture shows the same digit."""
    with torch.no_grad():
        nearest = torch.cdist(embed(test), embed(train)).argmin(dim=1)
    return (labels[train][nearest] == labels[test]).float().mean().item()


print(f"untrained: {accuracy():.1%}")
for epoch in range(10):
    for rows in train[torch.randperm(len(train))].split(128):
        value = loss(embed(rows), labels[rows])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {value.item():.4f}, nearest neighbour right {accuracy():.1%}")
