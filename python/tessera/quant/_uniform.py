"""Uniform quantizers and range estimators: aihwkit's names."""

from __future__ import annotations

import builtins
import enum
from typing import Any, NamedTuple

import numpy as np

from .._arrays import float32
from .._core import quant as _quant
from ..parameters import RangeEstimators
from ._formats import Array


class QuantizerBase:
    """What the uniform quantizers share: a word length and a range, set once from bounds.

    ``code = clip(rne(x / scale) + zero_point, int_min, int_max)``, ``forward = scale * (code - zero_point)``. Without a
    range everything but ``is_initialized`` raises QuantizerNotInitializedError.
    """

    _method = "symmetric_uniform"

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
        """The range is learned from now on: ``set_quant_range`` is an error until ``reset``."""
        self._core.make_range_trainable()

    def reset(self) -> None:
        """Forgets the range."""
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


class SymmetricUniformQuantizer(QuantizerBase):
    """``code = clip(round(x / scale))``; signed where the range reaches below zero."""

    _method = "symmetric_uniform"

    @property
    def signed(self) -> bool:
        return self._core.signed


class AsymmetricUniformQuantizer(QuantizerBase):
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
        estimator: str | RangeEstimators = "current_minmax",
        per_channel: bool = False,
        axis: int | None = None,
        n_groups: int | None = None,
        quantizer: QuantizerBase | None = None,
        **params: Any,
    ) -> None:
        core = quantizer._core if quantizer is not None else None
        name = estimator.name if isinstance(estimator, RangeEstimators) else estimator
        self._core = _quant.RangeEstimator(name, params, per_channel, axis, n_groups, core)

    def __call__(self, x: Any) -> tuple[Array, Array]:
        """Takes a batch into account; the lower and upper bounds now proposed."""
        low, high = self._core.estimate(float32(x))
        return np.array(low, dtype=np.float32), np.array(high, dtype=np.float32)

    def reset(self) -> None:
        """Forgets the batches."""
        self._core.reset()


class QMethodMap(NamedTuple):
    """A number and a class."""

    value: int
    cls: type[QuantizerBase]


class QMethods(enum.Enum):
    """The quantizers by name."""

    symmetric_uniform = QMethodMap(0, SymmetricUniformQuantizer)
    asymmetric_uniform = QMethodMap(1, AsymmetricUniformQuantizer)

    @property
    def cls(self) -> type[QuantizerBase]:
        return self.value.cls

    @classmethod
    def list(cls) -> builtins.list[str]:
        """The names."""
        return [method.name for method in cls]


class RoundStraightThrough:
    """Nearest integer, ties to even; its gradient is that of the identity."""

    @staticmethod
    def forward(x: Any) -> Array:
        return _quant.round(float32(x))

    @staticmethod
    def backward(output_grad: Any) -> Array:
        return float32(output_grad, "output_grad").copy()

    apply = forward


class FloorStraightThrough:
    """Largest integer that is not greater; its gradient is that of the identity."""

    @staticmethod
    def forward(x: Any) -> Array:
        return _quant.floor(float32(x))

    @staticmethod
    def backward(output_grad: Any) -> Array:
        return float32(output_grad, "output_grad").copy()

    apply = forward
