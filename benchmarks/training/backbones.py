"""The networks whose embeddings are trained; small, and the same for every loss.

All weights come from the generator that is passed (He et al. 2015, uniform; biases start at zero),
so that equal seeds make equal networks whatever else has drawn random numbers.

Shapes: B batch, D dimension of an embedding; an image is channels x height x width.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marginbench.checks import InputError

ImageShape = tuple[int, int, int]


def _linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
    nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(linear.bias)
    return linear


def _conv(
    fan_in: int, fan_out: int, size: int, generator: torch.Generator, *, stride: int = 1,
    bias: bool = False,
) -> nn.Conv2d:  # fmt: skip
    """Padded by half its size, so that stride 1 keeps height and width."""
    conv = nn.utils.skip_init(
        nn.Conv2d, fan_in, fan_out, size, stride=stride, padding=size // 2, bias=bias
    )
    nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu", generator=generator)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _centred(images: Tensor) -> Tensor:
    """From [0, 1] to [-1, 1], as (pixel - 127.5) / 128 in the face papers."""
    return images * 2 - 1


class Mlp(nn.Module):
    """Pixels -> 128 -> 128 -> D, with a ReLU between the layers.

    ``last_relu`` adds one after the last layer too, which confines the embeddings to the
    non-negative orthant; without it (the default) they may point anywhere (SphereFace 2017,
    appendix A).
    """

    def __init__(
        self, image_shape: ImageShape, dim: int, generator: torch.Generator, last_relu: bool
    ) -> None:
        super().__init__()
        widths = (math.prod(image_shape), 128, 128, dim)
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in itertools.pairwise(widths):
            layers += [_linear(fan_in, fan_out, generator), nn.ReLU()]
        self.layers = nn.Sequential(*(layers if last_relu else layers[:-1]))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B x channels x height x width) to embeddings (B x D)."""
        return self.layers(images)


class LeNetPlusPlus(nn.Module):
    """LeNet++ of the center-loss paper (Wen et al. 2016, table 1): three stages of two 5x5
    convolutions (32, 64, 128 maps, PReLU after each) and a 2x2 max-pool, then D; the paper's
    figures have D = 2. Half a pixel left over by a pool is dropped (Caffe, which the authors used,
    rounds up). Takes images of 8 x 8 pixels or more."""

    def __init__(
        self, image_shape: ImageShape, dim: int, generator: torch.Generator, last_relu: bool
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        if min(height, width) < 8:
            got = f"{height} x {width}"
            raise InputError("images", "8 x 8 pixels or more for lenet++, which halves thrice", got)
        layers: list[nn.Module] = []
        for maps in (32, 64, 128):
            for fan_in in (channels, maps):
                layers += [_conv(fan_in, maps, 5, generator, bias=True), nn.PReLU()]
            layers.append(nn.MaxPool2d(2))
            channels = maps
        layers += [nn.Flatten(), _linear(128 * (height // 8) * (width // 8), dim, generator)]
        self.layers = nn.Sequential(*layers, *([nn.ReLU()] if last_relu else []))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B x channels x height x width) to embeddings (B x D)."""
        return self.layers(_centred(images).contiguous(memory_format=torch.channels_last))


class _Block(nn.Module):
    """Two 3x3 convolutions beside a short cut (He et al. 2016), batch-normalised."""

    def __init__(self, fan_in: int, fan_out: int, stride: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = _conv(fan_in, fan_out, 3, generator, stride=stride)
        self.first_norm = nn.BatchNorm2d(fan_out)
        self.second = _conv(fan_out, fan_out, 3, generator)
        self.second_norm = nn.BatchNorm2d(fan_out)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or fan_in != fan_out:
            shortcut = _conv(fan_in, fan_out, 1, generator, stride=stride)
            self.short = nn.Sequential(shortcut, nn.BatchNorm2d(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.short(x) + self.second_norm(self.second(inner)))


class SmallResNet(nn.Module):
    """A 3x3 convolution of stride 2, then a residual block each of 16, 32 and 64 maps (the last
    two of stride 2), all of the last maps flattened, then D. Sized so that one CPU core trains
    thousands of 32 x 32 images a second; channels last, which is a third faster there."""

    def __init__(
        self, image_shape: ImageShape, dim: int, generator: torch.Generator, last_relu: bool
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        pixels = math.prod(-(-side // 8) for side in (height, width))
        layers = [
            _conv(channels, 16, 3, generator, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
            _Block(16, 16, 1, generator), _Block(16, 32, 2, generator),
            _Block(32, 64, 2, generator), nn.Flatten(), _linear(64 * pixels, dim, generator),
        ]  # fmt: skip
        self.layers = nn.Sequential(*layers, *([nn.ReLU()] if last_relu else []))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B x channels x height x width) to embeddings (B x D)."""
        return self.layers(_centred(images).contiguous(memory_format=torch.channels_last))


BACKBONES: Mapping[str, Any] = {"mlp": Mlp, "lenet++": LeNetPlusPlus, "resnet": SmallResNet}
_CHANNELS_LAST = ("lenet++", "resnet")


def build(
    name: str,
    image_shape: ImageShape,
    dim: int,
    generator: torch.Generator,
    *,
    last_relu: bool = False,
) -> nn.Module:
    """The network of that name for images of that shape (channels, height, width); raises
    InputError for a name that is not there and for images that it does not take."""
    if name not in BACKBONES:
        raise InputError("backbone", f"one of {', '.join(BACKBONES)}", repr(name))
    network: nn.Module = BACKBONES[name](image_shape, dim, generator, last_relu)
    if name in _CHANNELS_LAST:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def save(
    path: Path, network: nn.Module, facts: Mapping[str, Any], beside: Mapping[str, Tensor]
) -> None:
    """Writes what `load` needs: the weights, ``facts`` (backbone, image_shape, dim, last_relu and
    whatever else is plain) and the tensors learnt ``beside`` the network. Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    beside = {name: tensor.detach().cpu() for name, tensor in beside.items()}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    torch.save({"facts": dict(facts), "network": state, "beside": beside}, part)
    part.replace(path)


def read(path: Path) -> dict[str, Any]:
    """What `save` wrote: ``facts``, the ``network``'s weights by name, and ``beside``, the tensors
    learnt with it (class weights and the like)."""
    return torch.load(path, map_location="cpu", weights_only=True)


def load(path: Path) -> nn.Module:
    """The trained network that `save` wrote, on the CPU and in evaluation mode."""
    saved = read(path)
    facts = saved["facts"]
    network = build(
        facts["backbone"], tuple(facts["image_shape"]), facts["dim"], torch.Generator(),
        last_relu=facts["last_relu"],
    )  # fmt: skip
    network.load_state_dict(saved["network"])
    return network.eval()
