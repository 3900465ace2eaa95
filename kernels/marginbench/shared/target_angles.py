"""Margins that need the target's angle, in Triton: cos(m1 theta + m2) - m3, in float64.

Triton has no arc cosine, and what libraries of a GPU's maker bring differs between them. These are
a few lines, the same on each and in the interpreter, and without the stack that a sine of any
number takes: within a few roundings of the angle, its sine and its cosine.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .target_margins import NO_ANGLE

_NO_ANGLE = tl.constexpr(NO_ANGLE)
_PI = tl.constexpr(3.141592653589793)
# pi / 2 in two numbers, the first of which k times is exact, for k below 2^20.
_QUARTER, _QUARTER_REST = tl.constexpr(1.5707963267341256), tl.constexpr(6.077100506506192e-11)

#: What `combined` is compiled for: as it is; no further than to pi; so, and with the slope 1.
FREE, HELD, DETACHED = 1, 2, 3
_FREE, _DETACHED = tl.constexpr(FREE), tl.constexpr(DETACHED)


@triton.jit
def angle_of(cosine, sine):
    """The angle in [0, pi] of a sine from 0 on: near 0 as exact as the sine.

    tan(a / 2) = sin a / (1 + cos a) for a up to a right angle, halved twice more; of at most
    tan(pi / 16) twelve terms of the series of the arc tangent are enough.
    """
    tangent = sine / (1.0 + tl.abs(cosine))
    tangent /= 1.0 + tl.sqrt(1.0 + tangent * tangent)
    tangent /= 1.0 + tl.sqrt(1.0 + tangent * tangent)
    square = tangent * tangent
    series = square * 0.0
    for i in tl.static_range(12):
        series = 1.0 / (23 - 2 * i) - square * series
    angle = 8.0 * tangent * series
    return tl.where(cosine < 0.0, _PI - angle, angle)


@triton.jit
def sine_and_cosine(angle):
    """Of an angle from 0 on, by the series about the nearest multiple of a right angle."""
    quarters = (angle * (2.0 / _PI) + 0.5).to(tl.int32)
    rest = angle - quarters.to(tl.float64) * _QUARTER
    rest -= quarters.to(tl.float64) * _QUARTER_REST
    square = rest * rest
    sine, cosine = square * 0.0 + 1.0, square * 0.0 + 1.0
    for i in tl.static_range(8):
        sine = 1.0 - square * sine * (1.0 / ((16 - 2 * i) * (17 - 2 * i)))
        cosine = 1.0 - square * cosine * (1.0 / ((15 - 2 * i) * (16 - 2 * i)))
    sine *= rest
    odd = (quarters & 1) == 1
    by_sine, by_cosine = tl.where(odd, cosine, sine), tl.where(odd, sine, cosine)
    by_sine = tl.where((quarters & 2) == 2, -by_sine, by_sine)
    return by_sine, tl.where(((quarters + 1) & 2) == 2, -by_cosine, by_cosine)


@triton.jit
def combined(plain, length, m1, m2, m3, RULE: tl.constexpr):
    """target, slope and radial of length (cos(m1 theta + m2) - m3): what `target_margins.combined`
    is, and of `HELD` and `DETACHED` what `multiplied` and `multiplied_detached` are. Where sin
    theta is 0 the slope has no direction to pull in, and is 0."""
    nowhere = length == 0.0
    divisor = tl.where(nowhere, 1.0, length)
    cosine = plain / divisor
    square = 1.0 - cosine * cosine
    some = square > _NO_ANGLE
    sine = tl.sqrt(tl.where(some, square, 0.0))
    angle = m1 * angle_of(cosine, sine) + m2
    fall, value = sine_and_cosine(angle)
    slope = m1 * tl.where(some, fall / tl.where(some, sine, 1.0), 0.0)
    if RULE != _FREE:
        value = tl.where(angle < _PI, value, -1.0)
        slope = tl.where(angle < _PI, slope, 0.0)
    if RULE == _DETACHED:
        slope = slope * 0.0 + 1.0
    value -= m3
    slope = tl.where(nowhere, 0.0, slope)
    radial = tl.where(nowhere, 0.0, (value - cosine * slope) / divisor)
    return length * value, slope, radial


@triton.jit
def turned(cosine, margin):
    """cos(theta + m), its derivative by cos theta, and its derivative by m, as
    `target_margins.turned` has them."""
    square = 1.0 - cosine * cosine
    some = square > _NO_ANGLE
    sine = tl.sqrt(tl.where(some, square, 0.0))
    sin_m, cos_m = sine_and_cosine(margin)
    slope = cos_m + tl.where(some, cosine / tl.where(some, sine, 1.0), 0.0) * sin_m
    return cosine * cos_m - sine * sin_m, slope, -(sine * cos_m + cosine * sin_m)
