"""Makes bfloat16 right in Triton's interpreter, so that what it computes can be compared.

The interpreter (Triton 3.6 and 3.7) keeps a bfloat16 array as its raw 16-bit patterns. A product
or a sum of such arrays then works on integers, silently; and a cast from float32 cuts the low bits
off, where a GPU rounds to nearest even. After `correct_bfloat16`:

- ``tl.dot`` widens bfloat16 operands to float32 (exact) before it multiplies them, as the tensor
  cores do with float32 accumulation;
- ``tl.dot`` sums every entry of a product alike, as a GPU does: numpy's float32 product takes
  another order for some columns, so that class weights that are equal would get unequal logits;
- a cast from float32 to bfloat16 rounds to nearest even, and a NaN stays a NaN;
- any other arithmetic or reduction on bfloat16 raises TypeError: a kernel casts to float32 first.

Use it in every process that runs kernels with ``TRITON_INTERPRET=1``::

    from benchmarks import interpreter
    if interpreter.active():
        interpreter.correct_bfloat16()
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

_BITWISE = {np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.left_shift, np.right_shift}


def active() -> bool:
    """Whether kernels imported from now on run in the interpreter (``TRITON_INTERPRET``)."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")


def widen(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bit patterns (uint16) as float32; exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow(values: np.ndarray) -> np.ndarray:
    """float32 as bfloat16 bit patterns (uint16), rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).reshape(values.shape)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) >> 16
    quiet_nan = (bits >> 16) | 0x0040
    return np.where(np.isnan(values), quiet_nan, rounded).astype(np.uint16)


def correct_bfloat16() -> None:
    """Patch the interpreter in this process, once; calling again changes nothing."""
    import triton.language as tl
    from triton.runtime import interpreter

    builder = interpreter.InterpreterBuilder
    if getattr(builder, "bfloat16_corrected", False):
        return
    handle = interpreter.TensorHandle
    _correct_casts(builder, handle, tl)
    _correct_dot(builder, handle, tl)
    _refuse_raw_arithmetic(builder, interpreter, tl)
    builder.bfloat16_corrected = True


def _correct_casts(builder: Any, handle: Any, tl: Any) -> None:
    cast, convert = builder.cast_impl, builder.create_fp_to_fp

    def cast_impl(self, src, dst_type):
        pair = (src.dtype.scalar, dst_type.scalar)
        if pair == (tl.bfloat16, tl.float32):
            return handle(widen(src.data), tl.float32)
        if pair == (tl.float32, tl.bfloat16):
            return handle(narrow(src.data), tl.bfloat16)
        return cast(self, src, dst_type)

    def create_fp_to_fp(self, src, dst_type, rounding_mode):
        towards_zero = rounding_mode is not None and "RTZ" in str(rounding_mode)
        if tl.bfloat16 in (src.dtype.scalar, dst_type.scalar) and not towards_zero:
            return cast_impl(self, src, dst_type)
        return convert(self, src, dst_type, rounding_mode)

    builder.cast_impl = cast_impl
    builder.create_fp_to_fp = create_fp_to_fp


def _correct_dot(builder: Any, handle: Any, tl: Any) -> None:
    def operand(value):
        numbers = widen(value.data) if value.dtype.scalar == tl.bfloat16 else value.data
        return numbers.astype(np.float64)

    def create_dot(self, a, b, sums, *args):
        # In float64 no order shows once the sums are rounded.
        product = np.matmul(operand(a), operand(b)).astype(sums.data.dtype)
        return handle(product + sums.data, sums.dtype.scalar)

    builder.create_dot = create_dot


def _refuse_raw_arithmetic(builder: Any, interpreter: Any, tl: Any) -> None:
    def refuse(value, what: str) -> None:
        if getattr(value.dtype, "scalar", None) == tl.bfloat16:
            raise TypeError(f"{what} of bfloat16 in the interpreter: cast to float32 first")

    binary, unary, fma = builder.binary_op, builder.unary_op, builder.create_fma
    reductions = interpreter.ReduceScanOpInterface
    check = reductions.check_tensor

    def binary_op(self, lhs, rhs, op):
        if op not in _BITWISE:
            refuse(lhs, op.__name__)
        return binary(self, lhs, rhs, op)

    def unary_op(self, arg, op):
        refuse(arg, op.__name__)
        return unary(self, arg, op)

    def create_fma(self, x, y, z):
        refuse(x, "fma")
        return fma(self, x, y, z)

    def check_tensor(self, values):
        for value in values:
            refuse(value, "a reduction")
        return check(self, values)

    builder.binary_op = binary_op
    builder.unary_op = unary_op
    builder.create_fma = create_fma
    reductions.check_tensor = check_tensor
