"""A density in plain PyTorch, no config and no trainer: NADE learns black and white digits in a few seconds."""

import math

import torch
from sklearn.datasets import load_digits

from ar_lightning.core.spec import DataSpec, Shapes
from ar_lightning.density.density import Density
from ar_lightning.likelihoods.discrete import Bernoulli
from ar_lightning.models.nade import NADE

torch.manual_seed(0)
images = torch.tensor(load_digits().images).gt(7).long()[:, None]  # (1797, 1, 8, 8), zeros and ones
train, test = images[:1500], images[1500:]

spec = DataSpec(shape=(1, 8, 8), levels=2)
likelihood = Bernoulli(spec)
model = NADE(Shapes(spec.shape, likelihood.inputs, likelihood.params), hidden=100)
density = Density(model, likelihood, spec)

optimizer = torch.optim.Adam(density.parameters(), lr=3e-3)
for _ in range(15):
    for batch in train[torch.randperm(len(train))].split(50):
        optimizer.zero_grad()
        density.loss(batch).mean().backward()  # -log p(x), in nats
        optimizer.step()

density.eval()
with torch.no_grad():
    bits = -density.log_prob(test).mean().item() / (spec.dims * math.log(2))
print(f"test: {bits:.3f} bits/dim (a coin for every pixel: 1)")
for row in density.sample(1)[0, 0]:
    print("".join(" #"[value] * 2 for value in row))
