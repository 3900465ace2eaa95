"""Beside pytorch-metric-learning: its miner with our loss, and our miner with its loss.

Needs pytorch-metric-learning. Both sides speak of triplets as indices: anchors, positives,
negatives.
"""

import torch
from pytorch_metric_learning import distances, losses, miners

import marginbench

torch.manual_seed(0)
labels = torch.arange(64) % 8
embeddings = torch.nn.functional.normalize(torch.randn(64, 32), dim=1).requires_grad_()
squared = distances.LpDistance(normalize_embeddings=False, power=2)

# Its miner, our loss: a mean over the triplets that it found.
their_miner = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard", distance=squared)
our_loss = marginbench.TripletLoss(margin=0.2)
value = our_loss(embeddings, labels, triplets=their_miner(embeddings, labels))
value.backward()
print(f"its miner, our loss: {value.item():.4f}")

# Our miner, its loss.
our_miner = marginbench.miners.BatchHardMiner()
their_loss = losses.TripletMarginLoss(margin=0.2, distance=squared)
value = their_loss(embeddings, labels, our_miner(embeddings, labels))
value.backward()
print(f"our miner, its loss: {value.item():.4f}")
