"""Layers on analog tiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import _core
from ..tile import rpu_config_text
from ._tensors import like, to_array


class _AnalogProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: _AnalogBase, *values: Tensor) -> Tensor:
        batch, first = layer._next_call(x.shape[0])
        ctx.layer, ctx.call, ctx.sizes = layer, (batch, first), values
        ctx.save_for_backward(x)
        y = layer._core.forward(to_array(x), layer.training, batch, first)
        return torch.from_numpy(y).to(x.device, x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        grad_x, gradients = ctx.layer._core.backward(to_array(x), to_array(grads[0]), *ctx.call)
        own = tuple(like(gradients[name], value) for name, value in zip(ctx.layer._names, ctx.sizes))
        return (like(grad_x, x), None, *own)


class _AnalogBase(nn.Module):
    """A linear map on tiles: what is learned are the parameters of the module, ``weight``, ``bias`` and, where the
    configuration has them, input ranges, output scales and ranges of quantizers.

    Every call draws fresh noise: vectors are numbered through the life of the module. ``rewind()`` begins anew, to the
    same bits. Gradients are the library's: those of the forward pass at its draws, rounding straight through.
    """

    def _prepare(self, weight: Tensor, bias: Tensor | None, rpu_config: Any, seed: int, layer: int, threads: int) -> None:
        self._options = (rpu_config_text(rpu_config), seed, layer, threads)
        self._core = self._make(weight, bias)
        self._names = list(self._core.values())
        for name, value in self._core.values().items():
            parameter = nn.Parameter(torch.from_numpy(value.copy()))
            if name == "weight":
                parameter = nn.Parameter(parameter.detach().reshape(weight.shape))
            self.register_parameter(name.replace(".", "_"), parameter)
        self._sent: list[tuple[int, int]] = []
        self.rewind()

    def _make(self, weight: Tensor, bias: Tensor | None) -> Any:
        matrix = to_array(weight).reshape(weight.shape[0], -1)
        return _core.LearningTile(matrix, None if bias is None else to_array(bias), *self._options)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_core"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Copies and files hold the values; counters of ranges that are initialised from data begin anew."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._core = self._make(getattr(self, "weight"), getattr(self, "bias", None))
        self._core.set_values({name: to_array(value).reshape(-1) for name, value in zip(self._names, self._own())})
        self._sent = []

    def rewind(self) -> None:
        """Numbers batches and vectors from 0 again."""
        self._batch = 0
        self._vectors = 0

    def _next_call(self, vectors: int) -> tuple[int, int]:
        call = (self._batch, self._vectors)
        self._batch += 1
        self._vectors += vectors
        return call

    def _has_bias(self) -> bool:
        return "bias" in self._names

    def _own(self) -> list[Tensor]:
        return [getattr(self, name.replace(".", "_")) for name in self._names]

    def _send(self) -> None:
        """Values that an optimizer (or ``load_state_dict``) changed to the library, and back what it made of them."""
        own = self._own()
        versions = [(value.data_ptr(), value._version) for value in own]
        if versions != self._sent:
            if self._sent or self._batch == 0:
                self._core.set_values({name: to_array(value).reshape(-1) for name, value in zip(self._names, own)})
            self._receive()

    def _receive(self) -> None:
        with torch.no_grad():
            for name, value in self._core.values().items():
                own = getattr(self, name.replace(".", "_"))
                new = like(value, own)
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
        _take_weights(analog, module)
        return analog

    def forward(self, x: Tensor) -> Tensor:
        return self._product(x)

    def to_digital(self) -> nn.Linear:
        """``torch.nn.Linear`` with the same weights, learned output scales folded in."""
        digital = nn.Linear(self.in_features, self.out_features, self._has_bias())
        _give_weights(self, digital)
        return digital

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
        _take_weights(analog, module)
        return analog

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

    def to_digital(self) -> nn.Conv2d:
        """``torch.nn.Conv2d`` with the same weights, learned output scales folded in."""
        digital = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            self.dilation,  # type: ignore[arg-type]
            bias=self._has_bias(),
        )
        _give_weights(self, digital)
        return digital

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, on analog tiles"


def _give_weights(analog: _AnalogBase, digital: nn.Linear | nn.Conv2d) -> None:
    analog._send()
    with torch.no_grad():
        digital.weight.copy_(like(analog._core.logical_weights(), digital.weight))
        if digital.bias is not None:
            digital.bias.copy_(getattr(analog, "bias"))
    digital.train(analog.training)


def _take_weights(analog: _AnalogBase, module: nn.Module) -> None:
    with torch.no_grad():
        for name, value in module.named_parameters(recurse=False):
            getattr(analog, name).copy_(value)
    analog.train(module.training)


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
