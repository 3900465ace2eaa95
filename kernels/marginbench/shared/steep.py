"""The pull of a target's logit whose slope has no bound, as ArcFace's near theta = 0.

By the embedding that pull is slope w / ||w|| + radial x, by the class weight slope (x - plain
w / ||w||) / ||w||: a steep slope times a short difference. Out of a product of directions that were
rounded to 16 or 32 bits the difference would be their rounding. Here it is made in float64, on the
B rows of their own class weights; the products then leave the target's entry out.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pulls(x_BD: Tensor, own_BD: Tensor, slope_B: Tensor, radial_B: Tensor) -> tuple[Tensor, Tensor]:
    """The derivatives of each row's target logit by x and by its own class weight (B x D each,
    float64); that by a class weight of zeros is 0."""
    x_BD, own_BD = x_BD.double(), own_BD.double()
    length_B1 = torch.linalg.vector_norm(own_BD, dim=1, keepdim=True)
    unit_BD = own_BD / length_B1.where(length_B1 > 0, torch.inf)
    plain_B1 = (x_BD * unit_BD).sum(dim=1, keepdim=True)
    by_x_BD = slope_B[:, None] * unit_BD + radial_B[:, None] * x_BD
    across_BD = x_BD.addcmul(unit_BD, plain_B1, value=-1)
    return by_x_BD, across_BD * (slope_B[:, None] / length_B1.where(length_B1 > 0, torch.inf))
