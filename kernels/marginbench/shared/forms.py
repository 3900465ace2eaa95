"""Makes the forms of a loss (eager, tiled, fused) out of what differs between them.

A loss says once what it takes, in its `arguments.py`: a signature is a function that checks the
arguments, casts them as autocast does, and returns them as every form takes them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

from .reduction import reduce

_Taken = ParamSpec("_Taken")
_Result = TypeVar("_Result")
Signature = Callable[_Taken, tuple[Any, ...]]


def checked(
    signature: Signature[_Taken], on: Callable[[Any], None] | None = None
) -> Callable[[Callable[..., _Result]], Callable[_Taken, _Result]]:
    """Gives a function this signature: it is called with what that returns. ``on`` refuses the
    first of these where the form can't compute: another device, another dtype."""

    def decorate(function: Callable[..., _Result]) -> Callable[_Taken, _Result]:
        @functools.wraps(function)
        def form(*arguments: _Taken.args, **options: _Taken.kwargs) -> _Result:
            taken = signature(*arguments, **options)
            if on is not None:
                on(taken[0])
            return function(*taken)

        form.__wrapped__ = signature  # type: ignore[assignment]
        # A code of its own: tracebacks say whose it is, and torch.compile counts by code how often
        # it compiled, up to a limit.
        form.__code__ = form.__code__.replace(co_name=function.__name__)  # type: ignore[attr-defined]
        return form

    return decorate


def of_terms(
    signature: Signature[_Taken], on: Callable[[Any], None] | None = None
) -> Callable[[Callable[..., Any]], Callable[_Taken, Tensor]]:
    """As `checked`, of a function that returns the terms before the reduction, which the signature
    gives last; or the terms and what their mean divides by, where that is not their number."""

    def decorate(terms: Callable[..., Any]) -> Callable[_Taken, Tensor]:
        @functools.wraps(terms)
        def value(*taken: Any) -> Tensor:
            found = terms(*taken[:-1])
            terms_B, divisor = found if isinstance(found, tuple) else (found, None)
            return reduce(terms_B, taken[-1], divisor)

        return checked(signature, on)(value)

    return decorate
