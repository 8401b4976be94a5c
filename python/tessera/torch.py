"""PyTorch modules on the library: layers on analog tiles to train in one's own loop, and quantizers with gradients.

Values and gradients are computed by the library on the processor; tensors on other devices travel there and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import _core, quant
from ._core import quant as _quant
from .tile import rpu_config_text


def _array(x: Tensor) -> Any:
    return np.ascontiguousarray(x.detach().to("cpu", torch.float32).numpy())


def _like(values: Any, x: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(x.device, x.dtype).reshape(x.shape)


# --- layers on tiles -------------------------------------------------------------------------------------------------


class _AnalogProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: _AnalogBase, *values: Tensor) -> Tensor:
        batch, first = layer._next_call(x.shape[0])
        ctx.layer, ctx.call, ctx.sizes = layer, (batch, first), values
        ctx.save_for_backward(x)
        y = layer._core.forward(_array(x), layer.training, batch, first)
        return torch.from_numpy(y).to(x.device, x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        grad_x, gradients = ctx.layer._core.backward(_array(x), _array(grads[0]), *ctx.call)
        own = tuple(_like(gradients[name], value) for name, value in zip(ctx.layer._names, ctx.sizes))
        return (_like(grad_x, x), None, *own)


class _AnalogBase(nn.Module):
    """A linear map on tiles: what is learned are the parameters of the module, ``weight``, ``bias`` and, where the
    configuration has them, input ranges, output scales and ranges of quantizers.

    Every call draws fresh noise: vectors are numbered through the life of the module. ``rewind()`` begins anew, to the
    same bits. Gradients are the library's: those of the forward pass at its draws, rounding straight through.
    """

    def _prepare(self, weight: Tensor, bias: Tensor | None, rpu_config: Any, seed: int, layer: int, threads: int) -> None:
        outputs = weight.shape[0]
        self._core = _core.LearningTile(
            _array(weight).reshape(outputs, -1),
            None if bias is None else _array(bias),
            rpu_config_text(rpu_config),
            seed,
            layer,
            threads,
        )
        self._names = list(self._core.values())
        for name, value in self._core.values().items():
            parameter = nn.Parameter(torch.from_numpy(value.copy()))
            if name == "weight":
                parameter = nn.Parameter(parameter.detach().reshape(weight.shape))
            self.register_parameter(name.replace(".", "_"), parameter)
        self._sent: list[Tensor] = []
        self.rewind()

    def rewind(self) -> None:
        """Numbers batches and vectors from 0 again."""
        self._batch = 0
        self._vectors = 0

    def _next_call(self, vectors: int) -> tuple[int, int]:
        call = (self._batch, self._vectors)
        self._batch += 1
        self._vectors += vectors
        return call

    def _own(self) -> list[Tensor]:
        return [getattr(self, name.replace(".", "_")) for name in self._names]

    def _send(self) -> None:
        """Values that an optimizer (or ``load_state_dict``) changed to the library, and back what it made of them."""
        own = self._own()
        versions = [(value.data_ptr(), value._version) for value in own]
        if versions != self._sent:
            if self._sent or self._batch == 0:
                self._core.set_values({name: _array(value).reshape(-1) for name, value in zip(self._names, own)})
            self._receive()

    def _receive(self) -> None:
        with torch.no_grad():
            for name, value in self._core.values().items():
                own = getattr(self, name.replace(".", "_"))
                new = _like(value, own)
                if not torch.equal(own, new):
                    own.copy_(new)
        self._sent = [(value.data_ptr(), value._version) for value in self._own()]

    def _product(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        self._send()
        y: Tensor = _AnalogProduct.apply(x.reshape(-1, x.shape[-1]), self, *self._own())
        if self.training:
            self._receive()  # ranges that the batch initialised
        return y.reshape(*x.shape[:-1], y.shape[-1])


class AnalogLinear(_AnalogBase):
    """``torch.nn.Linear`` on analog tiles."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rpu_config: Any = None,
        *,
        seed: int = 0,
        layer: int = 0,
        threads: int = 0,
    ) -> None:
        super().__init__()
        start = nn.Linear(in_features, out_features, bias)
        self.in_features, self.out_features = in_features, out_features
        self._prepare(start.weight, start.bias if bias else None, rpu_config, seed, layer, threads)

    @classmethod
    def from_digital(cls, module: nn.Linear, rpu_config: Any = None, **options: Any) -> AnalogLinear:
        """With the weights of a digital layer."""
        analog = cls(module.in_features, module.out_features, module.bias is not None, rpu_config, **options)
        return _with_weights(analog, module)

    def forward(self, x: Tensor) -> Tensor:
        return self._product(x)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, on analog tiles"


class AnalogConv2d(_AnalogBase):
    """``torch.nn.Conv2d`` (one group) on analog tiles: a vector for each output position."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        bias: bool = True,
        rpu_config: Any = None,
        *,
        seed: int = 0,
        layer: int = 0,
        threads: int = 0,
    ) -> None:
        super().__init__()
        start = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias)
        if isinstance(start.padding, str):
            raise ValueError("padding is a number or a pair of numbers")
        self.kernel_size, self.stride = start.kernel_size, start.stride
        self.padding, self.dilation = start.padding, start.dilation
        self.in_channels, self.out_channels = in_channels, out_channels
        self._prepare(start.weight, start.bias if bias else None, rpu_config, seed, layer, threads)

    @classmethod
    def from_digital(cls, module: nn.Conv2d, rpu_config: Any = None, **options: Any) -> AnalogConv2d:
        """With the weights of a digital layer."""
        if module.groups != 1 or module.padding_mode != "zeros":
            raise ValueError("AnalogConv2d has one group and pads with zeros")
        analog = cls(
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            module.bias is not None,
            rpu_config,
            **options,
        )
        return _with_weights(analog, module)

    def forward(self, x: Tensor) -> Tensor:
        columns = functional.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)
        y = self._product(columns.transpose(1, 2)).transpose(1, 2)
        extents = [
            (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for size, pad, dilation, kernel, stride in zip(
                x.shape[-2:], self.padding, self.dilation, self.kernel_size, self.stride
            )
        ]
        return y.reshape(x.shape[0], self.out_channels, *extents)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, on analog tiles"


def _with_weights(analog: Any, module: nn.Module) -> Any:
    with torch.no_grad():
        for name, value in module.named_parameters(recurse=False):
            getattr(analog, name).copy_(value)
    return analog.train(module.training)


def convert_to_analog(module: nn.Module, rpu_config: Any = None, *, seed: int = 0, exclude: Iterable[str] = ()) -> nn.Module:
    """Puts every ``Linear`` and ``Conv2d`` (of one group) in ``module`` on analog tiles, in place, and returns it.

    ``exclude``: names of layers that stay digital, as ``named_modules`` has them. Each layer draws its own noise.
    """
    left = set(exclude)
    unknown = left - {name for name, _ in module.named_modules()}
    if unknown:
        raise ValueError(f"exclude names no layer: {', '.join(sorted(unknown))}")
    counter = iter(range(1 << 16))

    def converted(name: str, layer: nn.Module) -> nn.Module:
        if name in left:
            return layer
        if type(layer) is nn.Linear:
            return AnalogLinear.from_digital(layer, rpu_config, seed=seed, layer=next(counter))
        if type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros":
            return AnalogConv2d.from_digital(layer, rpu_config, seed=seed, layer=next(counter))
        for child_name, child in layer.named_children():
            setattr(layer, child_name, converted(f"{name}.{child_name}" if name else child_name, child))
        return layer

    return converted("", module)


# --- quantizers ------------------------------------------------------------------------------------------------------


class _Quantized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, module: _UniformQuantizer, *ranges: Tensor) -> Tensor:
        ctx.module, ctx.ranges = module, ranges
        ctx.save_for_backward(x)
        return _like(module._core.forward(_array(x)), x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        values, grad = _array(x), _array(grads[0])
        grad_x = _like(ctx.module._core.backward(values, grad), x)
        if not ctx.ranges:
            return grad_x, None
        found = ctx.module._core.range_gradient(values, grad)
        return (grad_x, None, *(_like(np.array(g, np.float32), r) for g, r in zip(found, ctx.ranges)))


class _UniformQuantizer(nn.Module):
    _method = ""

    def __init__(
        self,
        n_bits: int,
        scale_domain: str = "linear",
        per_channel: bool = False,
        axis: int | None = None,
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        self.n_bits, self.scale_domain, self.per_channel, self.axis, self.eps = (
            n_bits,
            scale_domain,
            per_channel,
            axis,
            eps,
        )
        self._core = _quant.UniformQuantizer(self._method, n_bits, scale_domain, per_channel, axis, eps)
        self._trained: list[str] = []

    def set_quant_range(self, x_min: Any, x_max: Any) -> None:
        """Sets the range; zero is always made part of it."""
        low, high = torch.as_tensor(x_min), torch.as_tensor(x_max)
        self._core.set_quant_range(_array(low).reshape(-1).tolist(), _array(high).reshape(-1).tolist())

    def make_range_trainable(self) -> None:
        """``delta`` (and ``zero_float`` of asymmetric quantizers) become parameters."""
        self._core.make_range_trainable()
        self._trained = ["delta"] if self._core.symmetric else ["delta", "zero_float"]
        for name in self._trained:
            self.register_parameter(name, nn.Parameter(torch.tensor(getattr(self._core, name))))

    def reset(self) -> None:
        for name in self._trained:
            delattr(self, name)
        self._trained = []
        self._core.reset()

    def forward(self, x: Tensor) -> Tensor:
        ranges = [getattr(self, name) for name in self._trained]
        if ranges:
            values = [_array(r).reshape(-1).tolist() for r in ranges]
            self._core.set_state(values[0], values[1] if len(values) > 1 else [], self._signed())
        result: Tensor = _Quantized.apply(x, self, *ranges)
        return result

    def to_integer_forward(self, x: Tensor) -> Tensor:
        """The integer codes."""
        return _like(self._core.to_integer_forward(_array(x)), x)

    def _signed(self) -> bool:
        return bool(self._core.symmetric and self._core.signed)

    @property
    def is_initialized(self) -> bool:
        return self._core.is_initialized

    def extra_repr(self) -> str:
        return self._core.extra_repr()


class SymmetricUniformQuantizer(_UniformQuantizer):
    """aihwkit's, with a straight-through gradient and, on demand, a range that learns."""

    _method = "symmetric_uniform"


class AsymmetricUniformQuantizer(_UniformQuantizer):
    """aihwkit's, with a straight-through gradient and, on demand, a range that learns."""

    _method = "asymmetric_uniform"


def _seed() -> int:
    return int(torch.randint(0, 2**62, ()).item())


def _rounded(x: Tensor, number: quant.Number, rounding: str) -> Tensor:
    return x.clone() if number is None else _like(quant.quantize(_array(x), number, rounding, _seed()), x)


def fixed_point_quantize(
    x: Tensor, wl: int, fl: int, clamp: bool = True, symmetric: bool = False, rounding: str = "stochastic"
) -> Tensor:
    """QPyTorch's; stochastic rounding follows ``torch.manual_seed``."""
    return _rounded(x, quant.FixedPoint(wl, fl, clamp, symmetric), rounding)


def block_quantize(x: Tensor, wl: int, dim: int = -1, rounding: str = "stochastic") -> Tensor:
    """QPyTorch's; stochastic rounding follows ``torch.manual_seed``."""
    return _rounded(x, quant.BlockFloatingPoint(wl, dim), rounding)


def float_quantize(x: Tensor, exp: int, man: int, rounding: str = "stochastic") -> Tensor:
    """QPyTorch's; stochastic rounding follows ``torch.manual_seed``."""
    return _rounded(x, quant.FloatingPoint(exp, man), rounding)


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, options: Quantizer) -> Tensor:
        ctx.options = options
        ctx.mask = None
        if options.clamping_grad_zero:
            mask, _, _ = _quant.clamp_mask(options.forward_number, _array(x))
            ctx.mask = torch.from_numpy(mask).to(x.device).bool().reshape(x.shape)
        return _rounded(x, options.forward_number, options.forward_rounding)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad = grads[0]
        for hook in ctx.options.backward_hooks:
            grad = hook(grad)
        grad = _rounded(grad, ctx.options.backward_number, ctx.options.backward_rounding)
        return (grad if ctx.mask is None else grad.masked_fill(ctx.mask, 0.0)), None


class Quantizer(nn.Module):
    """Number formats of values (forward) and of their gradients (backward); None leaves them as they are."""

    def __init__(
        self,
        forward_number: quant.Number = None,
        backward_number: quant.Number = None,
        forward_rounding: str = "stochastic",
        backward_rounding: str = "stochastic",
        clamping_grad_zero: bool = False,
        backward_hooks: Iterable[Callable[[Tensor], Tensor]] = (),
    ) -> None:
        super().__init__()
        if clamping_grad_zero and not isinstance(forward_number, quant.FixedPoint):
            raise ValueError("clamping_grad_zero needs a FixedPoint as forward_number")
        self.forward_number, self.backward_number = forward_number, backward_number
        self.forward_rounding, self.backward_rounding = forward_rounding, backward_rounding
        self.clamping_grad_zero = clamping_grad_zero
        self.backward_hooks = list(backward_hooks)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Rounded.apply(x, self)
        return result


def quantizer(*arguments: Any, **options: Any) -> Callable[[Tensor], Tensor]:
    """QPyTorch's ``quantizer``: a function of tensors, with the arguments of ``Quantizer``."""
    return Quantizer(*arguments, **options)


class _Levels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, states: Any) -> Tensor:
        return _like(states(_array(x)), x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return grads[0], None


def state_quant(*arguments: Any, **options: Any) -> Callable[[Tensor], Tensor]:
    """snnTorch's ``state_quant``: nearest of the levels, straight through in the backward pass."""
    states = quant.state_quant(*arguments, **options)

    def apply(x: Tensor) -> Tensor:
        result: Tensor = _Levels.apply(x, states)
        return result

    return apply
