"""Mixed precision: the network runs in 16 bits, class weights and losses are kept in 32.

Under autocast a head casts embeddings and class weights to one dtype, as torch's linear layer does,
and returns its loss in float32. On a GPU use "cuda" and float16 with the scaler; on a CPU bfloat16,
which needs none.
"""

import torch
from torch import nn

import marginbench

device = "cuda" if torch.cuda.is_available() else "cpu"
dtype = torch.float16 if device == "cuda" else torch.bfloat16
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16)).to(device)
loss = marginbench.SoftmaxLoss(dim=16, classes=10, label_smoothing=0.1, device=device)
optimizer = torch.optim.SGD([*network.parameters(), *loss.parameters()], lr=0.5)
scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
inputs = torch.randn(256, 32, device=device)
labels = inputs[:, :10].argmax(dim=1)

for step in range(100):
    with torch.autocast(device, dtype=dtype):
        value = loss(network(inputs), labels)
    optimizer.zero_grad()
    scaler.scale(value).backward()
    scaler.step(optimizer)
    scaler.update()
    if step % 33 == 0:
        print(f"step {step}: loss {value.item():.4f} ({value.dtype})")
right = (loss.predict(network(inputs)) == labels).float().mean()
print(f"right: {right:.0%}")
