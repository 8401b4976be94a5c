"""Number formats: QPyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from .._arrays import float32
from .._core import quant as _quant

Array = NDArray[np.float32]
FixedPoint = _quant.FixedPoint
BlockFloatingPoint = _quant.BlockFloatingPoint
FloatingPoint = _quant.FloatingPoint
#: A number format; a name such as "fp8_e4m3" (see ``number_names``); None: float32.
Number = Union[FixedPoint, BlockFloatingPoint, FloatingPoint, str, None]


def number_names() -> list[str]:
    """The formats known by name: fp16, bfloat16, fp8_e4m3, int8, ..."""
    return _quant.number_names()


def core_number(number: Number) -> Any:
    """What the engine takes for a format."""
    return _quant.named_number(number) if isinstance(number, str) else number


def draw_seed(seed: int | None) -> int:
    return int(np.random.randint(0, 2**63 - 1)) if seed is None else seed


def quantize(x: Any, number: Number, rounding: str = "stochastic", seed: int | None = None) -> Array:
    """``x`` in a number format, as float32. ``rounding``: "nearest" or "stochastic"."""
    return _quant.quantize(core_number(number), float32(x), rounding, draw_seed(seed) if rounding == "stochastic" else 0)


def fixed_point_quantize(
    x: Any,
    wl: int,
    fl: int,
    clamp: bool = True,
    symmetric: bool = False,
    rounding: str = "stochastic",
    seed: int | None = None,
) -> Array:
    """Fixed point of ``wl`` bits, ``fl`` of them fractional."""
    return quantize(x, FixedPoint(wl, fl, clamp, symmetric), rounding, seed)


def block_quantize(x: Any, wl: int, dim: int = -1, rounding: str = "stochastic", seed: int | None = None) -> Array:
    """Mantissas of ``wl`` bits under one exponent for the whole tensor (``dim=-1``) or for each index of ``dim``."""
    return quantize(x, BlockFloatingPoint(wl, dim), rounding, seed)


def float_quantize(x: Any, exp: int, man: int, rounding: str = "stochastic", seed: int | None = None) -> Array:
    """Floating point of ``exp`` exponent and ``man`` mantissa bits."""
    return quantize(x, FloatingPoint(exp, man), rounding, seed)


def require_clamping(forward_number: Number, clamping_grad_zero: bool) -> None:
    """ValueError unless the forward format clamps something where gradients of clamped values are to vanish."""
    if not clamping_grad_zero or forward_number is None:
        return
    if not isinstance(forward_number, FixedPoint) or not forward_number.clamp:
        raise ValueError("clamping_grad_zero needs a FixedPoint with clamp as forward_number")


class Quantizer:
    """Number formats of values (forward) and of their gradients (backward); None leaves them as they are.

    ``backward`` runs the hooks, rounds, and, with ``clamping_grad_zero``, gives 0 where the last forward pass clamped.
    """

    def __init__(
        self,
        forward_number: Number = None,
        backward_number: Number = None,
        forward_rounding: str = "stochastic",
        backward_rounding: str = "stochastic",
        clamping_grad_zero: bool = False,
        backward_hooks: Iterable[Callable[[Array], Array]] = (),
    ) -> None:
        require_clamping(forward_number, clamping_grad_zero)
        self.forward_number, self.backward_number = forward_number, backward_number
        self.forward_rounding, self.backward_rounding = forward_rounding, backward_rounding
        self.clamping_grad_zero = clamping_grad_zero
        self.backward_hooks = list(backward_hooks)
        for number, rounding in ((forward_number, forward_rounding), (backward_number, backward_rounding)):
            quantize(np.zeros(1, np.float32), number, rounding, 0)  # words are checked at once
        self._mask: Any = None

    def __call__(self, x: Any) -> Array:
        return self.forward(x)

    def forward(self, x: Any, seed: int | None = None) -> Array:
        """``x`` in the forward format."""
        y, self._mask = _quant.quantize_with_mask(
            core_number(self.forward_number), float32(x), self.forward_rounding, draw_seed(seed), self.clamping_grad_zero
        )
        return y

    def backward(self, output_grad: Any, seed: int | None = None) -> Array:
        """The gradient with respect to ``x`` of the last forward pass."""
        grad = float32(output_grad, "output_grad")
        for hook in self.backward_hooks:
            grad = float32(hook(grad), "the result of a hook")
        grad = quantize(grad, self.backward_number, self.backward_rounding, draw_seed(seed))
        if self.clamping_grad_zero and self._mask is not None:
            grad[self._mask.reshape(grad.shape) != 0] = 0.0
        return grad


def quantizer(
    forward_number: Number = None,
    backward_number: Number = None,
    forward_rounding: str = "stochastic",
    backward_rounding: str = "stochastic",
    clamping_grad_zero: bool = False,
    backward_hooks: Iterable[Callable[[Array], Array]] = (),
) -> Quantizer:
    """A function that quantizes arrays, with a method ``backward`` for gradients."""
    return Quantizer(
        forward_number, backward_number, forward_rounding, backward_rounding, clamping_grad_zero, backward_hooks
    )
