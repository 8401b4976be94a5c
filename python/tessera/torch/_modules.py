"""Quantized forms of modules, and their way into a network: aihwkit's names."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..parameters import ActivationQuantConfig, QuantizationConfig, QuantizationMap, WeightQuantConfig
from ._layers import AnalogConv2d, AnalogLinear
from ._quantizers import QuantizationManager


def _manager(config: ActivationQuantConfig | WeightQuantConfig) -> nn.Module:
    """The manager of a configured tensor; the identity without bits."""
    if config.n_bits <= 0:
        return nn.Identity()
    per_channel = isinstance(config, WeightQuantConfig) and config.per_channel
    return QuantizationManager(
        config.n_bits, config.symmetric, config.range_estimator, config.range_estimator_params, per_channel
    )


class QuantizedModule(nn.Module):
    """A module whose weight and output are quantized; the bias is not. Weight and bias are those of ``original``."""

    def __init__(self, original: nn.Module, qconfig: QuantizationConfig) -> None:
        super().__init__()
        self.original = original
        weight = getattr(original, "weight", None)
        self.weight_quantizer = _manager(qconfig.weight_quant) if weight is not None else nn.Identity()
        self.activation_quantizer = _manager(qconfig.activation_quant)

    def operation(self, x: Tensor, weight: Any) -> Tensor:
        """The module with another weight."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        weight = getattr(self.original, "weight", None)
        y = self.operation(x, weight if weight is None else self.weight_quantizer(weight))
        result: Tensor = self.activation_quantizer(y)
        return result


class QuantLinear(QuantizedModule):
    """``nn.Linear``: weight and output."""

    def operation(self, x: Tensor, weight: Any) -> Tensor:
        return functional.linear(x, weight, self.original.bias)  # type: ignore[arg-type]


class QuantConv2d(QuantizedModule):
    """``nn.Conv2d`` (with its padding mode): weight and output."""

    def operation(self, x: Tensor, weight: Any) -> Tensor:
        return self.original._conv_forward(x, weight, self.original.bias)  # type: ignore[operator, no-any-return]


class QuantLayerNorm(QuantizedModule):
    """``nn.LayerNorm``: gain, if there is one, and output."""

    def operation(self, x: Tensor, weight: Any) -> Tensor:
        m: Any = self.original
        return functional.layer_norm(x, m.normalized_shape, weight, m.bias, m.eps)


class QuantEmbedding(QuantizedModule):
    """``nn.Embedding``: the table."""

    def __init__(self, original: nn.Module, qconfig: QuantizationConfig) -> None:
        super().__init__(original, qconfig)
        self.activation_quantizer = nn.Identity()

    def operation(self, x: Tensor, weight: Any) -> Tensor:
        m: Any = self.original
        return functional.embedding(x, weight, m.padding_idx, m.max_norm, m.norm_type, m.scale_grad_by_freq, m.sparse)


class QuantBatchNorm2d(QuantizedModule):
    """``nn.BatchNorm2d``, folded into nothing: output."""

    def __init__(self, original: nn.Module, qconfig: QuantizationConfig) -> None:
        super().__init__(original, qconfig)
        self.weight_quantizer = nn.Identity()

    def operation(self, x: Tensor, weight: Any) -> Tensor:
        result: Tensor = self.original(x)
        return result


class QuantizedInputModule(nn.Module):
    """A module whose input is quantized."""

    def __init__(self, module: nn.Module, act_config: ActivationQuantConfig) -> None:
        super().__init__()
        self.quantizer = _manager(act_config)
        self.module = module

    def forward(self, x: Tensor, *arguments: Any, **options: Any) -> Any:
        return self.module(self.quantizer(x), *arguments, **options)


_FORMS: dict[type, type[QuantizedModule]] = {
    nn.Linear: QuantLinear,
    nn.Conv2d: QuantConv2d,
    nn.LayerNorm: QuantLayerNorm,
    nn.Embedding: QuantEmbedding,
    nn.BatchNorm2d: QuantBatchNorm2d,
}


def _form(asked: Any, module: nn.Module, name: str) -> type:
    """The class that a map asks for, by itself or by name."""
    if isinstance(asked, type):
        return asked
    own = _FORMS.get(type(module))
    if own is None or (asked and asked != own.__name__):
        raise ValueError(f"'{name}' is a {type(module).__name__}, which has no quantized form {asked or ''}".rstrip())
    return own


def convert_to_quantized(module: nn.Module, quantization_map: QuantizationMap) -> nn.Module:
    """A copy of ``module`` with quantizers where the map asks for them.

    By name (``named_modules``) and exact type; a converted module is not looked into. Ranges are estimated from batches
    in training mode until ``fix_ranges()`` or ``learn_ranges()`` of a ``QuantizationManager``. Layers on analog tiles
    become digital, with their scales folded in. ValueError for names that no module has.
    """
    asked = quantization_map
    names = {name for name, _ in module.named_modules()}
    for key in (*asked.instance_qconfig_map, *asked.input_activation_qconfig_map, *asked.excluded_modules):
        if key not in names:
            raise ValueError(f"the quantization map names '{key}', which is no module of the network")

    def by_type(part: nn.Module) -> Any:
        for key, config in asked.module_qconfig_map.items():
            if key is type(part) or key in (type(part).__name__, "nn." + type(part).__name__):
                return config
        return None

    def digital(part: nn.Module) -> nn.Module:
        return part.to_digital() if isinstance(part, (AnalogLinear, AnalogConv2d)) else part

    def convert(part: nn.Module, name: str) -> nn.Module:
        if name in asked.excluded_modules:
            return part
        config = asked.instance_qconfig_map.get(name) or by_type(digital(part))
        if config is None:
            for child_name, child in part.named_children():
                full = f"{name}.{child_name}" if name else child_name
                setattr(part, child_name, convert(child, full))
        else:
            qconfig = config.module_qconfig
            if qconfig.activation_quant.n_bits > 0 or qconfig.weight_quant.n_bits > 0:
                plain = digital(part)
                part = _form(config.quantized_module, plain, name)(plain, copy.deepcopy(qconfig))
        input_config = asked.input_activation_qconfig_map.get(name)
        return part if input_config is None or not name else QuantizedInputModule(part, input_config)

    with torch.no_grad():
        return convert(copy.deepcopy(module), "").train(module.training)
