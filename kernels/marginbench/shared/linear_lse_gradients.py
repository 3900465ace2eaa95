"""The backward pass of linear + log-sum-exp, as an operator: see `linear_lse`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import linear_lse_backward as kernels
from .launching import blocks, launch, power_of_two, processors, product_precision, row_major
from .linear_lse_tiles import HALF_SCALE, ROWS, Backward, backwards, range_of_classes
from .operators import operator
from .tuning import tuned


def _shapes(upstream, embeddings, labels, class_weights, bias, rows, inverse, wanted):
    return tuple(
        embeddings.new_empty(like.shape if want else (0,))
        for like, want in zip((embeddings, class_weights, bias), wanted, strict=True)
    )


@operator("linear_lse_gradients", fake=_shapes)
def gradients(
    upstream: Tensor, embeddings: Tensor, labels: Tensor, class_weights: Tensor,
    bias: Tensor | None, rows: Tensor, inverse: Tensor, wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of embeddings, class weights and bias, where ``wanted``; else empty.

    upstream (B, float32): the gradient of the terms. rows (4 x B) and inverse (C, or empty where
    weights keep their lengths) come from the forward pass.
    """
    out = [
        embeddings.new_empty(like.shape if want and like is not None else (0,))
        for like, want in zip((embeddings, class_weights, bias), wanted, strict=True)
    ]
    x_BD, w_CD = row_major(embeddings), row_major(class_weights)
    upstream_B, inverse_C = upstream.contiguous(), inverse if inverse.numel() else None
    half = x_BD.dtype == torch.float16
    tensors = {
        "x_ptr": x_BD, "w_ptr": w_CD, "y_ptr": labels.contiguous(), "inverse_ptr": inverse_C,
        "bias_ptr": None if bias is None else bias.contiguous(), "rows_ptr": rows,
        "upstream_ptr": upstream_B, "peak_ptr": torch.linalg.vector_norm(upstream_B, torch.inf),
        "steepest_ptr": inverse_C.amax() if inverse_C is not None and half else None,
        "dx_ptr": out[0] if wanted[0] else None, "dw_ptr": out[1] if wanted[1] else None,
        "db_ptr": out[2] if wanted[2] else None,
        "x_stride": x_BD.stride(0), "w_stride": w_CD.stride(0),
    }  # fmt: skip
    (B, D), C = x_BD.shape, w_CD.shape[0]
    kind = "heads backward" if inverse_C is None else "heads backward, unit weights"
    tuned(
        kind, x_BD, {"B": B, "C": C, "D": D}, backwards(x_BD.device, x_BD.dtype, B, D),
        lambda tiles: _Pass(tensors, tiles).run(),
    )  # fmt: skip
    return out[0], out[1], out[2]


class _Pass:
    """One backward pass: its sizes, its scratch, and the launches of each range of classes."""

    def __init__(self, tensors: dict[str, Any], tiles: Backward) -> None:
        x_BD, w_CD = tensors["x_ptr"], tensors["w_ptr"]
        self.B, self.D = x_BD.shape
        self.C = w_CD.shape[0]
        precision = product_precision(x_BD.dtype)
        self.tiles = tiles
        columns = (self.tiles.coefficients.columns, self.tiles.embeddings.depth)
        unit = max(*columns, self.tiles.weights.rows)
        self.span = range_of_classes(self.B, self.C, x_BD.element_size(), unit)
        self.row_blocks = blocks(self.B, self.tiles.coefficients.rows)
        self.each, self.splits = self._shares(processors(x_BD.device))
        sums = tensors["db_ptr"] is not None or (
            tensors["dw_ptr"] is not None and tensors["inverse_ptr"] is not None
        )
        self.arguments = tensors | {
            "B": self.B, "C": self.C, "D": self.D, "span": self.span, "PRECISION": precision,
            "SCALE": HALF_SCALE if x_BD.dtype == torch.float16 else 1.0,
            "coefficients_ptr": x_BD.new_empty(self.B, self.span),
            "sums_ptr": self._float32(self.row_blocks, self.span, like=x_BD) if sums else None,
            "partial_ptr": self._float32(self.splits, self.B, self.D, like=x_BD),
        }  # fmt: skip

    @staticmethod
    def _float32(*size: int, like: Tensor) -> Tensor:
        return like.new_empty(size, dtype=torch.float32)

    def _shares(self, share_of: int) -> tuple[int, int]:
        """Blocks of columns that each split of dX's sum over classes owns, and how many splits:
        as many as occupy every processor once."""
        tile = self.tiles.embeddings
        programs = blocks(self.B, tile.rows) * blocks(self.D, tile.columns)
        depths = blocks(self.span, tile.depth)
        each = blocks(depths, max(1, share_of // programs))
        return each, blocks(depths, each)

    def _launch(self, kernel: Any, programs: int, **more: Any) -> None:
        known = self.arguments | more
        names = [name for name in kernel.arg_names if name in known]
        options = {name: known[name] for name in ("num_warps", "num_stages") if name in known}
        launch(kernel, programs, **{name: known[name] for name in names}, **options)

    def run(self) -> None:
        for first in range(0, self.C, self.span):
            self._range(first, min(self.span, self.C - first))
        if self.arguments["dx_ptr"] is not None:
            wide = power_of_two(self.D, 16, 128)
            self._launch(
                kernels.embedding_gradient, blocks(self.B, ROWS) * blocks(self.D, wide),
                splits=self.splits, BLOCK_B=ROWS, BLOCK_D=wide,
            )  # fmt: skip

    def _range(self, first: int, width: int) -> None:
        """Adds what the classes from ``first`` on give to dX, and makes their dW and db."""
        at = {"first": first, "width": width}
        tile = self.tiles.coefficients
        self._launch(
            kernels.coefficients_of_range, self.row_blocks * blocks(width, tile.columns),
            **at, **tile.named("B", "C", "D"),
        )  # fmt: skip
        if self.arguments["dx_ptr"] is not None:
            tile = self.tiles.embeddings
            tiles_BD = blocks(self.B, tile.rows) * blocks(self.D, tile.columns)
            self._launch(
                kernels.embedding_gradient_of_range, tiles_BD * self.splits,
                **at, each=self.each, **tile.named("B", "D", "C"),
            )  # fmt: skip
        if self.arguments["dw_ptr"] is not None or self.arguments["db_ptr"] is not None:
            tile = self.tiles.weights
            self._launch(
                kernels.weight_gradient_of_range,
                blocks(width, tile.rows) * blocks(self.D, tile.columns),
                **at, sum_rows=self.row_blocks, **tile.named("C", "D", "B"),
            )  # fmt: skip
