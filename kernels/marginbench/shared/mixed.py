"""Arguments of mixed dtypes under autocast: embeddings of 16 bits from a network beside class
weights and centers in float32. Outside autocast nothing is cast: the checks refuse mixtures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def _floats(tensors: tuple[Any, ...]) -> list[Tensor]:
    """Those that autocast would cast: float64 is left alone, as torch does."""
    found = (t for t in tensors if isinstance(t, Tensor) and t.is_floating_point())
    return [t for t in found if t.dtype != torch.float64]


def as_linear(*tensors: Any) -> tuple[Any, ...]:
    """The arguments of a linear layer: under autocast, floats of more than one dtype are cast to
    autocast's, as torch's own linear does. Anything else comes back as it is."""
    floats = _floats(tensors)
    if len({t.dtype for t in floats}) < 2:
        return tensors
    device = floats[0].device.type
    if not _casts(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    cast = {id(t) for t in floats}
    return tuple(t.to(dtype) if id(t) in cast else t for t in tensors)


def as_centers(embeddings: Any, centers: Any) -> Any:
    """The embeddings in the dtype of the centers, under autocast: a small step would be lost on
    centers of 16 bits."""
    floats = _floats((embeddings, centers))
    if len(floats) < 2 or not _casts(floats[0].device.type):
        return embeddings
    return embeddings.to(centers.dtype)


def _casts(device: str) -> bool:
    """Whether autocast is on; it knows no tensors without data, which a recording may be given."""
    return device != "meta" and torch.is_autocast_enabled(device)
