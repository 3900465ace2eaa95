"""A loss with its own class weights, in five lines."""

import torch

import marginbench

loss = marginbench.ASoftmaxLoss(dim=128, classes=1000)
embeddings = torch.randn(32, 128, requires_grad=True)  # what your network gives
labels = torch.randint(1000, (32,))
loss(embeddings, labels).backward()
print(embeddings.grad.shape, loss.class_weights.grad.shape)
