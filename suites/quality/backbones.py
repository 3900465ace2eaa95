"""The networks whose embeddings are trained; small, and the same for every loss.

Shapes: B batch, D dimension of an embedding, F pixels of an image.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from kernels.checks import InputError


class Mlp(nn.Module):
    """Pixels -> 128 -> 128 -> D, with a ReLU between the layers.

    ``last_relu`` adds one after the last layer too, which confines the embeddings to the
    non-negative orthant; without it (the default) they may point anywhere (SphereFace 2017,
    appendix A). Weights come from ``generator`` alone (He et al. 2015, uniform), biases start at
    zero, so that equal seeds make equal networks whatever else has drawn random numbers.
    """

    def __init__(
        self, pixels: int, dim: int, generator: torch.Generator, *, last_relu: bool = False
    ) -> None:
        super().__init__()
        widths = (pixels, 128, 128, dim)
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in itertools.pairwise(widths):
            linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
            nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU()]
        self.layers = nn.Sequential(*(layers if last_relu else layers[:-1]))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B x channels x height x width) to embeddings (B x D)."""
        return self.layers(images)


BACKBONES = {"mlp": Mlp}


def build(
    name: str, pixels: int, dim: int, generator: torch.Generator, *, last_relu: bool = False
) -> nn.Module:
    """The network of that name; raises InputError for a name that is not there."""
    if name not in BACKBONES:
        raise InputError("backbone", f"one of {', '.join(BACKBONES)}", repr(name))
    return BACKBONES[name](pixels, dim, generator, last_relu=last_relu)
