"""Quantizers and number formats under the names of the field: aihwkit's, QPyTorch's and snnTorch's.

Everything is computed by the library, bit for bit as in simulations. Numbers are rounded once; ``double_rounding=True``
of the formats gives QPyTorch's bits, which now and then are those of the farther neighbour. Where rounding is stochastic, ``seed=None`` draws
a seed from NumPy's global generator, so that ``numpy.random.seed`` makes a program repeatable; a number makes a single
call repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from ._arrays import float32
from ._core import quant as _quant

Array = NDArray[np.float32]
FixedPoint = _quant.FixedPoint
BlockFloatingPoint = _quant.BlockFloatingPoint
FloatingPoint = _quant.FloatingPoint
#: A number format; a name such as "fp8_e4m3" (see ``number_names``); None: float32.
Number = Union[FixedPoint, BlockFloatingPoint, FloatingPoint, str, None]


def number_names() -> list[str]:
    """The formats known by name: fp16, bfloat16, fp8_e4m3, int8, ..."""
    return _quant.number_names()


def _number(number: Number) -> Any:
    return _quant.named_number(number) if isinstance(number, str) else number


def _seed(seed: int | None) -> int:
    return int(np.random.randint(0, 2**63 - 1)) if seed is None else seed


def quantize(x: Any, number: Number, rounding: str = "stochastic", seed: int | None = None) -> Array:
    """``x`` in a number format, as float32. ``rounding``: "nearest" or "stochastic"."""
    return _quant.quantize(_number(number), float32(x), rounding, _seed(seed) if rounding == "stochastic" else 0)


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


def quantizer(
    forward_number: Number = None,
    backward_number: Number = None,
    forward_rounding: str = "stochastic",
    backward_rounding: str = "stochastic",
    clamping_grad_zero: bool = False,
    backward_hooks: Iterable[Callable[[Array], Array]] = (),
) -> Callable[[Any], Array]:
    """A function that quantizes arrays. Formats of gradients take effect in ``tessera.torch.quantizer``."""
    del backward_number, backward_rounding, backward_hooks
    if clamping_grad_zero and not isinstance(forward_number, FixedPoint):
        raise ValueError("clamping_grad_zero needs a FixedPoint as forward_number")

    def apply(x: Any) -> Array:
        return float32(x).copy() if forward_number is None else quantize(x, forward_number, forward_rounding)

    return apply


class _UniformQuantizer:
    _method = ""

    def __init__(
        self,
        n_bits: int,
        scale_domain: str = "linear",
        per_channel: bool = False,
        axis: int | None = None,
        eps: float = 1e-8,
    ) -> None:
        self.n_bits = n_bits
        self.scale_domain = scale_domain
        self.per_channel = per_channel
        self.axis = axis
        self.eps = eps
        self._core = _quant.UniformQuantizer(self._method, n_bits, scale_domain, per_channel, axis, eps)

    def __call__(self, x_float: Any) -> Array:
        return self.forward(x_float)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        return self._core.extra_repr()

    def forward(self, x_float: Any) -> Array:
        """Quantized to integers and scaled back."""
        return self._core.forward(float32(x_float))

    def to_integer_forward(self, x_float: Any) -> Array:
        """The integer codes, as float32."""
        return self._core.to_integer_forward(float32(x_float))

    def backward(self, x_float: Any, output_grad: Any) -> Array:
        """The straight-through gradient with respect to the input."""
        return self._core.backward(float32(x_float), float32(output_grad, "output_grad"))

    def range_gradient(self, x_float: Any, output_grad: Any) -> tuple[list[float], list[float]]:
        """Gradients with respect to ``delta`` and, of asymmetric quantizers, ``zero_float``."""
        return self._core.range_gradient(float32(x_float), float32(output_grad, "output_grad"))

    def set_quant_range(self, x_min: Any, x_max: Any) -> None:
        """Sets the range; zero is always made part of it."""
        low, high = float32(x_min, "x_min"), float32(x_max, "x_max")
        self._core.set_quant_range(low.reshape(-1).tolist(), high.reshape(-1).tolist())

    def make_range_trainable(self) -> None:
        self._core.make_range_trainable()

    def reset(self) -> None:
        self._core.reset()

    def _value(self, values: list[float]) -> Any:
        array = np.array(values, dtype=np.float32)
        return array if self.per_channel or self.axis is not None or array.size > 1 else array.reshape(())

    @property
    def is_initialized(self) -> bool:
        return self._core.is_initialized

    @property
    def symmetric(self) -> bool:
        return self._core.symmetric

    @property
    def int_min(self) -> int:
        return self._core.int_min

    @property
    def int_max(self) -> int:
        return self._core.int_max

    @property
    def delta(self) -> Any:
        return self._value(self._core.delta)

    @property
    def scale(self) -> Any:
        return self._value(self._core.scale)

    @property
    def zero_point(self) -> Any:
        return self._value(self._core.zero_point)

    @property
    def x_min(self) -> Any:
        return self._value(self._core.x_min)

    @property
    def x_max(self) -> Any:
        return self._value(self._core.x_max)


class SymmetricUniformQuantizer(_UniformQuantizer):
    """``code = clip(round(x / scale))``; signed where the range reaches below zero."""

    _method = "symmetric_uniform"

    @property
    def signed(self) -> bool:
        return self._core.signed


class AsymmetricUniformQuantizer(_UniformQuantizer):
    """``code = clip(round(x / scale) + zero_point)``, from 0 on."""

    _method = "asymmetric_uniform"

    @property
    def zero_float(self) -> Any:
        return self._value(self._core.zero_float)


class RangeEstimator:
    """Watches batches and proposes a range.

    ``estimator``: "current_minmax" (``percentile``, ``two_sided``), "allminmax", "running_minmax" (``momentum``), "MSE"
    and "cross_entropy" (``num_candidates``, ``range_margin``, ``range_opt_method``: "grid" or "golden_section"); the
    last two need the ``quantizer`` whose error they look at.
    """

    def __init__(
        self,
        estimator: str = "current_minmax",
        per_channel: bool = False,
        axis: int | None = None,
        n_groups: int | None = None,
        quantizer: _UniformQuantizer | None = None,
        **params: Any,
    ) -> None:
        core = quantizer._core if quantizer is not None else None
        self._core = _quant.RangeEstimator(estimator, params, per_channel, axis, n_groups, core)

    def __call__(self, x: Any) -> tuple[Array, Array]:
        """Takes a batch into account; the lower and upper bounds now proposed."""
        low, high = self._core.estimate(float32(x))
        return np.array(low, dtype=np.float32), np.array(high, dtype=np.float32)

    def reset(self) -> None:
        self._core.reset()


class _StateQuant:
    def __init__(self, core: Any) -> None:
        self._core = core

    @property
    def levels(self) -> Array:
        return self._core.levels

    def __call__(self, x: Any) -> Array:
        return self._core.forward(float32(x))


def state_quant(
    num_bits: int = 8,
    uniform: bool = True,
    thr_centered: bool = True,
    threshold: float = 1,
    lower_limit: float = 0,
    upper_limit: float = 0.2,
    multiplier: float | None = None,
) -> _StateQuant:
    """A function that takes every value to the nearest of ``2**num_bits`` levels; ``levels`` are an attribute of it."""
    return _StateQuant(
        _quant.StateQuant(num_bits, uniform, thr_centered, threshold, lower_limit, upper_limit, multiplier)
    )


def state_quant_from_levels(levels: Sequence[float]) -> _StateQuant:
    """The same with levels of one's own."""
    return _StateQuant(_quant.StateQuant.from_levels(float32(levels, "levels").tolist()))


class Leaky:
    """Leaky integrate-and-fire neurons, one step a call: ``spk, mem = lif(input, mem)`` on [batch, units] arrays."""

    def __init__(
        self,
        beta: Any,
        threshold: Any = 1.0,
        inhibition: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: _StateQuant | None = None,
        graded_spikes_factor: float = 1.0,
        reset_delay: bool = True,
    ) -> None:
        self._core = _quant.Leaky(
            float32(beta, "beta").reshape(-1).tolist(),
            float32(threshold, "threshold").reshape(-1).tolist(),
            reset_mechanism,
            reset_delay,
            inhibition,
            graded_spikes_factor,
            state_quant._core if state_quant else None,
        )

    def __call__(self, input_: Any, mem: Any = None) -> tuple[Array, Array]:
        x = float32(input_, "input")
        state = np.zeros_like(x) if mem is None else float32(mem, "mem")
        spikes, new = self._core.step(x, state)
        return spikes.reshape(x.shape), new.reshape(x.shape)
