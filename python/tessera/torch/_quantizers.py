"""Uniform quantizers with gradients, and managers of their ranges: aihwkit's names."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import quant
from .._core import quant as _quant
from ..parameters import RangeEstimators
from ._tensors import like, to_array


class _Quantized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, module: QuantizerBase, *ranges: Tensor) -> Tensor:
        ctx.module, ctx.ranges = module, ranges
        ctx.save_for_backward(x)
        return like(module._core.forward(to_array(x)), x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        values, grad = to_array(x), to_array(grads[0])
        grad_x = like(ctx.module._core.backward(values, grad), x)
        if not ctx.ranges:
            return grad_x, None
        found = ctx.module._core.range_gradient(values, grad)
        return (grad_x, None, *(like(np.array(g, np.float32), r) for g, r in zip(found, ctx.ranges)))


class QuantizerBase(nn.Module):
    """A uniform quantizer with a straight-through gradient and, on demand, a range that learns.

    The range is part of ``state_dict``. Without one, everything but ``is_initialized`` raises
    ``tessera.QuantizerNotInitializedError``.
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
        super().__init__()
        self.n_bits, self.scale_domain, self.per_channel = n_bits, scale_domain, per_channel
        self.axis, self.eps = axis, eps
        self._core = self._make()
        for name in ("_delta", "_zero_float", "_signed"):
            self.register_buffer(name, None)

    def _make(self) -> _quant.UniformQuantizer:
        return _quant.UniformQuantizer(
            self._method, self.n_bits, self.scale_domain, self.per_channel, self.axis, self.eps
        )

    def set_quant_range(self, x_min: Any, x_max: Any) -> None:
        """Sets the range; zero is always made part of it."""
        low, high = torch.as_tensor(x_min), torch.as_tensor(x_max)
        self._core.set_quant_range(to_array(low).reshape(-1).tolist(), to_array(high).reshape(-1).tolist())
        device = low.device
        self._delta = torch.tensor(self._core.delta, device=device)
        self._zero_float = None if self.symmetric else torch.tensor(self._core.zero_float, device=device)
        self._signed = torch.tensor(self._core.signed, device=device) if self.symmetric else None

    def make_range_trainable(self) -> None:
        """``delta`` (and ``zero_float`` of asymmetric quantizers) become parameters."""
        self._core.make_range_trainable()
        for name in ["_delta"] if self.symmetric else ["_delta", "_zero_float"]:
            value = getattr(self, name)
            if not isinstance(value, nn.Parameter):
                delattr(self, name)
                self.register_parameter(name, nn.Parameter(value.detach().clone()))

    def reset(self) -> None:
        """Forgets the range, and that it is learned."""
        self._core = self._make()
        for name in ("_delta", "_zero_float", "_signed"):
            delattr(self, name)
            self.register_buffer(name, None)

    def _send(self) -> None:
        """What an optimizer or ``load_state_dict`` made of the range, to the library."""
        if self._delta is None:
            return
        zero = [] if self._zero_float is None else to_array(self._zero_float).reshape(-1).tolist()
        signed = self._signed is not None and bool(self._signed.item())
        self._core.set_state(to_array(self._delta).reshape(-1).tolist(), zero, signed)

    def forward(self, x_float: Tensor) -> Tensor:
        """Quantized to integers and scaled back."""
        self._send()
        ranges = [value for value in (self._delta, self._zero_float) if isinstance(value, nn.Parameter)]
        result: Tensor = _Quantized.apply(x_float, self, *ranges)
        return result

    def to_integer_forward(self, x_float: Tensor) -> Tensor:
        """The integer codes."""
        self._send()
        return like(self._core.to_integer_forward(to_array(x_float)), x_float)

    def _value(self, name: str) -> Tensor:
        self._send()
        return torch.tensor(getattr(self._core, name))

    @property
    def is_initialized(self) -> bool:
        return self._delta is not None

    @property
    def symmetric(self) -> bool:
        return self._core.symmetric

    @property
    def int_min(self) -> int:
        self._send()
        return self._core.int_min

    @property
    def int_max(self) -> int:
        self._send()
        return self._core.int_max

    @property
    def delta(self) -> Tensor:
        return self._delta if self._delta is not None else self._value("delta")

    @property
    def scale(self) -> Tensor:
        return self._value("scale")

    @property
    def zero_point(self) -> Tensor:
        return self._value("zero_point")

    @property
    def x_min(self) -> Tensor:
        return self._value("x_min")

    @property
    def x_max(self) -> Tensor:
        return self._value("x_max")

    def extra_repr(self) -> str:
        return self._core.extra_repr()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        for name in ("_delta", "_zero_float", "_signed"):
            value = state_dict.get(prefix + name)
            if value is not None and getattr(self, name) is None:
                setattr(self, name, torch.empty_like(value))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_core"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._core = self._make()
        self._send()
        if isinstance(self._delta, nn.Parameter):
            self._core.make_range_trainable()


class SymmetricUniformQuantizer(QuantizerBase):
    """``code = clip(rne(x / scale))``; signed where the range reaches below zero."""

    _method = "symmetric_uniform"

    @property
    def signed(self) -> bool:
        self._send()
        return self._core.signed


class AsymmetricUniformQuantizer(QuantizerBase):
    """``code = clip(rne(x / scale) + zero_point)``, from 0 on."""

    _method = "asymmetric_uniform"

    @property
    def zero_float(self) -> Tensor:
        return self._zero_float if self._zero_float is not None else self._value("zero_float")


class RoundStraightThrough(torch.autograd.Function):
    """Nearest integer, ties to even; ``RoundStraightThrough.apply(x)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return like(_quant.round(to_array(x)), x)

    @staticmethod
    def backward(ctx: Any, *output_grad: Tensor) -> Tensor:
        return output_grad[0]


class FloorStraightThrough(torch.autograd.Function):
    """Largest integer that is not greater; ``FloorStraightThrough.apply(x)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return like(_quant.floor(to_array(x)), x)

    @staticmethod
    def backward(ctx: Any, *output_grad: Tensor) -> Tensor:
        return output_grad[0]


class Qstates(enum.Enum):
    """Where a range comes from."""

    estimate_ranges = 0
    fix_ranges = 1
    learn_ranges = 2
    estimate_ranges_train = 3


class QuantizationManager(nn.Module):
    """A quantizer together with the estimator of its range.

    In the state ``estimate_ranges_train`` (at the start) batches in training mode move the range, in
    ``estimate_ranges`` all batches do; the batch that moves a range is quantized with it.
    """

    def __init__(
        self,
        n_bits: int,
        symmetric: bool = True,
        range_estimator: RangeEstimators = RangeEstimators.current_minmax,
        range_estimator_params: Any = None,
        per_channel: bool = False,
        axis: int | None = None,
        scale_domain: str = "linear",
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        cls = SymmetricUniformQuantizer if symmetric else AsymmetricUniformQuantizer
        self.quantizer = cls(n_bits, scale_domain, per_channel, axis, eps)
        self.state = Qstates.estimate_ranges_train
        options = {key: value for key, value in vars(range_estimator_params or object).items() if key[0] != "_"}
        if isinstance(options.get("range_opt_method"), enum.Enum):
            options["range_opt_method"] = options["range_opt_method"].name
        self._estimator = (RangeEstimators(range_estimator), {k: v for k, v in options.items() if v is not None})
        self.range_estimator = self._make_estimator()

    def _make_estimator(self) -> quant.RangeEstimator:
        kind, options = self._estimator
        searches = kind in (RangeEstimators.MSE, RangeEstimators.cross_entropy)
        q = self.quantizer
        cls = quant.SymmetricUniformQuantizer if q.symmetric else quant.AsymmetricUniformQuantizer
        searched = cls(q.n_bits, q.scale_domain, q.per_channel, q.axis, q.eps) if searches else None
        return quant.RangeEstimator(kind, q.per_channel, q.axis, None, searched, **options)

    def forward(self, x: Tensor) -> Tensor:
        training = self.training and self.state is Qstates.estimate_ranges_train
        if training or self.state is Qstates.estimate_ranges:
            low, high = self.range_estimator(to_array(x))
            self.quantizer.set_quant_range(torch.from_numpy(low), torch.from_numpy(high))
        result: Tensor = self.quantizer(x)
        return result

    def is_learning(self) -> bool:
        return self.state is Qstates.learn_ranges

    def _estimate(self, state: Qstates) -> None:
        if self.is_learning():  # the range is no longer a parameter
            self.quantizer.reset()
        self.state = state

    def estimate_ranges(self) -> None:
        self._estimate(Qstates.estimate_ranges)

    def estimate_ranges_train(self) -> None:
        self._estimate(Qstates.estimate_ranges_train)

    def fix_ranges(self) -> None:
        """QuantizerNotInitializedError without a range."""
        self.quantizer.delta  # noqa: B018
        self.state = Qstates.fix_ranges

    def learn_ranges(self) -> None:
        """QuantizerNotInitializedError without a range."""
        self.quantizer.make_range_trainable()
        self.state = Qstates.learn_ranges

    def reset_ranges(self) -> None:
        """Forgets the range and what the estimator saw."""
        self.quantizer.reset()
        self.range_estimator.reset()
        self.state = Qstates.estimate_ranges_train

    def extra_repr(self) -> str:
        return f"{self._estimator[0].name}, {self.state.name}"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "range_estimator"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.range_estimator = self._make_estimator()
