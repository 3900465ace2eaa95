"""Base classes of the losses' modules: checked arguments, class weights that they own."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..checks import InputError, check_number, check_reduction, check_whole
from ..implementations import IMPLEMENTATIONS, WITHOUT_TILED, checked
from . import head_options

# Where other libraries keep class weights, and whether they lie D x C there.
_FOREIGN = {
    "class_weights": False,  # ours
    "weight": False,  # insightface's PartialFC_V2 and torch.nn.Linear
    "fc.weight": False,  # a torch.nn.Linear called fc
    "W": True,  # pytorch-metric-learning
    "kernel": True,  # older heads of insightface
}


def _renamed(function: types.FunctionType, name: str) -> types.FunctionType:
    """A copy under another name: Python's TypeError for arguments that are missing, or that it does
    not take, says whose they are by that name, and people know the class, not its base."""
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__,
        function.__closure__,
    )  # fmt: skip
    copy.__kwdefaults__, copy.__annotations__ = function.__kwdefaults__, function.__annotations__
    copy.__dict__.update(function.__dict__)
    copy.__qualname__ = name
    return copy


class Loss(nn.Module):
    """A module over embeddings and labels; ``reduction`` and ``implementation`` are attributes."""

    #: The implementations that this loss has.
    offered: tuple[str, ...] = WITHOUT_TILED

    #: Whether it is a loss over class weights, with what `head_options` adds to each.
    is_head = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not cls.is_head and "forward" in vars(cls):
            cls.forward = head_options.refusing(cls.forward)
        if "__init__" not in vars(cls) and isinstance(cls.__init__, types.FunctionType):
            cls.__init__ = _renamed(  # type: ignore[method-assign]
                cls.__init__, f"{cls.__qualname__}.__init__"
            )

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        if not cls.is_head:
            own = inspect.signature(cls.__init__).parameters
            refused = [name for name in head_options.OF_HEADS if name not in own]
            head_options.refuse(cls.__name__, refused, options)
        return super().__new__(cls)

    def __init__(self, reduction: str, implementation: str) -> None:
        super().__init__()
        check_reduction(reduction)
        self.reduction = reduction
        self.implementation = checked(implementation, self.offered)

    def _shown(self) -> dict[str, Any]:
        """What ``repr`` shows beside reduction and implementation."""
        return {}

    def extra_repr(self) -> str:
        shown = {
            **self._shown(), "reduction": self.reduction, "implementation": self.implementation
        }  # fmt: skip
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())


class Head(Loss):
    """A loss over class weights, which it owns: ``class_weights`` (C x D), and ``bias`` (C) or
    None. They start normal with standard deviation 1 / sqrt(D), so that each has a length of about
    1, and the bias at 0."""

    offered: tuple[str, ...] = IMPLEMENTATIONS
    is_head = True
    #: Whether logits are made of class weights of unit length.
    unit_weights = False
    #: Whether a row's term is more than its cross-entropy.
    regularised = False

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        bias: bool = True,
        reduction: str = "mean",
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        implementation: str = "auto",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(reduction, implementation)
        dim, classes = check_whole("dim", dim, 1), check_whole("classes", classes, 1)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, 0, high=1)
        self.ignore_index = head_options.check_ignored(ignore_index)
        made = {"device": device, "dtype": dtype}
        self.class_weights = nn.Parameter(torch.empty(classes, dim, **made))
        self.bias = nn.Parameter(torch.empty(classes, **made)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the class weights anew; the bias, and centers where there are any, become 0."""
        nn.init.normal_(self.class_weights, std=self.dim**-0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def dim(self) -> int:
        return self.class_weights.shape[1]

    @property
    def classes(self) -> int:
        return self.class_weights.shape[0]

    def _shown(self) -> dict[str, Any]:
        found: dict[str, Any] = {"dim": self.dim, "classes": self.classes}
        if self.ignore_index is not None:
            found["ignore_index"] = self.ignore_index
        if self.label_smoothing:
            found["label_smoothing"] = self.label_smoothing
        return found

    def _options(self, weights: Tensor | None) -> dict[str, Any]:
        return {
            "reduction": self.reduction, "weights": weights, "ignore_index": self.ignore_index,
            "label_smoothing": self.label_smoothing, "implementation": self.implementation,
        }  # fmt: skip

    def _seen(self, embeddings: Tensor) -> Tensor:
        """What logits are made of."""
        return embeddings

    def logits(self, embeddings: Tensor) -> Tensor:
        """Logits without a margin; for a few classes. `predict` and `topk` keep no such matrix.

        >>> import torch
        >>> from marginbench import SoftmaxLoss
        >>> class_weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> head = SoftmaxLoss.from_state_dict({"weight": class_weights}, bias=False)
        >>> head.logits(torch.tensor([[2.0, 3.0]])).tolist()
        [[2.0, 3.0, 5.0]]

        Arguments:
            embeddings: (B x D), of any float dtype.

        Returns:
            (B x C), float32 or float64, differentiable.

        Raises:
            InputError: names the argument, what was expected and what came.
        """
        return head_options.logits(
            self._seen(embeddings), self.class_weights, self.bias, unit_weights=self.unit_weights
        )

    def predict(self, embeddings: Tensor) -> Tensor:
        """The class of the largest logit of each row, without a B x C matrix.

        >>> import torch
        >>> from marginbench import SoftmaxLoss
        >>> class_weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> head = SoftmaxLoss.from_state_dict({"weight": class_weights}, bias=False)
        >>> head.predict(torch.tensor([[2.0, 3.0], [2.0, -3.0]]))
        tensor([2, 0])

        Arguments:
            embeddings: (B x D), of any float dtype.

        Returns:
            (B), int64.

        Raises:
            InputError: names the argument, what was expected and what came.
        """
        return self.topk(embeddings, 1)[1][:, 0]

    def topk(self, embeddings: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest logits of each row, falling, and their classes, without a B x C matrix.

        >>> import torch
        >>> from marginbench import SoftmaxLoss
        >>> class_weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> head = SoftmaxLoss.from_state_dict({"weight": class_weights}, bias=False)
        >>> head.topk(torch.tensor([[2.0, 3.0]]), 2)
        (tensor([[5., 3.]]), tensor([[2, 1]]))

        Arguments:
            embeddings: (B x D), of any float dtype.
            k: from 1 to C.

        Returns:
            Logits (B x k, float32 or float64, without a gradient) and classes (B x k, int64).

        Raises:
            InputError: names the argument, what was expected and what came.
        """
        return head_options.topk(
            self._seen(embeddings), self.class_weights, self.bias, k, unit_weights=self.unit_weights
        )

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], **options: Any) -> Self:
        """A head with the class weights of another library; ``dim`` and ``classes`` are theirs.

        >>> import torch
        >>> from marginbench import SoftmaxLoss
        >>> layer = torch.nn.Linear(16, 10)
        >>> SoftmaxLoss.from_state_dict(layer.state_dict(), reduction="sum")
        SoftmaxLoss(dim=16, classes=10, reduction='sum', implementation='auto')

        Arguments:
            state: a state_dict that holds one of: ``W`` (D x C, pytorch-metric-learning),
                ``weight`` (C x D, insightface's PartialFC_V2, or torch.nn.Linear), ``fc.weight``
                (C x D), ``kernel`` (D x C, older heads of insightface), ``class_weights`` (C x D,
                ours); and, for a head with a bias, ``bias`` or ``fc.bias``.
            options: the class's own.

        Returns:
            A head on the device of those weights and of their dtype.

        Raises:
            InputError: ``state`` holds no such matrix, a bias that does not fit, or what
                another class of ours keeps.
        """
        names = [one for one in _FOREIGN if one in state]
        name = names[0] if len(names) == 1 else ""
        matrix = isinstance(state.get(name), Tensor) and state[name].ndim == 2
        if not (matrix and state[name].is_floating_point()):
            raise InputError(
                "state", f"one float matrix called one of {', '.join(_FOREIGN)}", list(state)
            )
        found = state[name].detach()
        weights = found.T if _FOREIGN[name] else found
        given = {"device": found.device, "dtype": found.dtype, **options}
        if name == "class_weights" and "bias" not in state and not cls.unit_weights:
            given.setdefault("bias", False)
        made = cls(weights.shape[1], weights.shape[0], **given)
        if name == "class_weights":  # our own: all of it, centers and annealing too
            try:
                made.load_state_dict(dict(state))
            except RuntimeError as error:
                expected = f"what {made} keeps"
                raise InputError("state", expected, " ".join(str(error).split())) from error
            return made
        bias = state.get("bias", state.get("fc.bias"))
        if bias is not None and not isinstance(bias, Tensor):
            raise InputError("state", "a bias that is a tensor", type(bias).__name__)
        if bias is not None and bias.shape != made.class_weights.shape[:1]:
            raise InputError("state", f"a bias of {made.classes} numbers", tuple(bias.shape))
        if bias is not None and made.bias is None:
            raise InputError("state", "no bias, for this head has none", "a bias")
        with torch.no_grad():
            made.class_weights.copy_(weights)
            if bias is not None and made.bias is not None:
                made.bias.copy_(bias)
        return made
