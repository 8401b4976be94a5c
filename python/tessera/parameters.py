"""Parameters under aihwkit's names, as plain dataclasses: parts of an ``rpu_config`` or of a ``quantization`` section.

They go wherever a dictionary goes: ``{"pre_post": PrePostProcessingParameterQuant(...)}``. The library checks values
when they are used, all problems at once; here only the types of range estimators are.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class InputRangeParameter:
    """A static input range that replaces the dynamic management of the DAC's input."""

    enable: bool = False
    learn_input_range: bool = True
    init_value: float = 3.0
    init_from_data: int = 100
    init_std_alpha: float = 3.0
    decay: float = 0.001
    input_min_percentage: float = 0.95
    manage_output_clipping: bool = False
    output_min_percentage: float = 0.95
    gradient_scale: float = 1.0
    gradient_relative: bool = True
    calibration_info: str | None = None


@dataclass
class PeripheryQuantizationParameter:
    """Quantization of the affine scales and the bias behind the ADC; ``n_bits`` 0: none."""

    n_bits: int = 0
    symmetric: bool = True
    learn_quant_params: bool = False
    init_learning_after: int = 100


@dataclass
class PrePostProcessingParameter:
    """Digital input and output processing of a tile."""

    input_range: InputRangeParameter = field(default_factory=InputRangeParameter)


@dataclass
class PrePostProcessingParameterQuant(PrePostProcessingParameter):
    """The same with a quantized periphery."""

    periph_quant: PeripheryQuantizationParameter = field(default_factory=PeripheryQuantizationParameter)


@dataclass
class PrePostProcessingRPU:
    """The part of an ``rpu_config`` around the tile. ``tile_class`` and ``runtime`` choose nothing: there is one engine."""

    tile_class: Any = None
    runtime: dict[str, Any] = field(default_factory=dict)
    pre_post: PrePostProcessingParameter = field(default_factory=PrePostProcessingParameter)


class RangeEstimators(enum.Enum):
    """How the range of a quantizer is found."""

    current_minmax = 0
    allminmax = 1
    running_minmax = 2
    MSE = 3
    cross_entropy = 4


class OptMethod(enum.Enum):
    """How the MSE and cross-entropy estimators search."""

    grid = 1
    golden_section = 2


@dataclass
class CurrentMinMaxEstimatorParams:
    """Extremes of the latest batch, or a percentile of it."""

    percentile: float | None = None


@dataclass
class RunningMinMaxEstimatorParams:
    """Exponential average of the extremes; ``momentum`` is the weight of the past."""

    momentum: float = 0.9


@dataclass
class MSEEstimatorParams:
    """Search for the range of least squared error."""

    range_opt_method: OptMethod = OptMethod.golden_section
    num_candidates: int = 100
    range_margin: float = 0.5


@dataclass
class CrossEntropyEstimatorParams(MSEEstimatorParams):
    """Search for the range of least cross-entropy."""


_PARAMS: dict[RangeEstimators, Callable[[], Any] | None] = {
    RangeEstimators.current_minmax: CurrentMinMaxEstimatorParams,
    RangeEstimators.allminmax: None,
    RangeEstimators.running_minmax: RunningMinMaxEstimatorParams,
    RangeEstimators.MSE: MSEEstimatorParams,
    RangeEstimators.cross_entropy: CrossEntropyEstimatorParams,
}


class BaseQuantConfig:
    """Bits, symmetry and range estimator of a quantizer; ``n_bits`` <= 0: none.

    Assigning ``range_estimator`` replaces ``range_estimator_params`` by that estimator's defaults; assigning parameters
    of another estimator is a TypeError (those of the cross-entropy fit MSE).
    """

    def __init__(self, _range_estimator: RangeEstimators, n_bits: int = 0, symmetric: bool = True) -> None:
        self.n_bits = n_bits
        self.symmetric = symmetric
        self.range_estimator = _range_estimator

    @property
    def range_estimator(self) -> RangeEstimators:
        return self._range_estimator

    @range_estimator.setter
    def range_estimator(self, estimator: RangeEstimators | str) -> None:
        self._range_estimator = RangeEstimators[estimator] if isinstance(estimator, str) else RangeEstimators(estimator)
        make = _PARAMS[self._range_estimator]
        self._range_estimator_params: Any = None if make is None else make()

    @property
    def range_estimator_params(self) -> Any:
        return self._range_estimator_params

    @range_estimator_params.setter
    def range_estimator_params(self, params: Any) -> None:
        expected = _PARAMS[self._range_estimator]
        if expected is None:
            raise TypeError("the estimator allminmax has no parameters")
        if not isinstance(params, expected):  # type: ignore[arg-type]
            raise TypeError(
                f"the estimator {self._range_estimator.name} takes {getattr(expected, '__name__', expected)}, "
                f"not {type(params).__name__}"
            )
        self._range_estimator_params = params

    def _fields(self) -> dict[str, Any]:
        """As a configuration has them."""
        return {
            "n_bits": self.n_bits,
            "symmetric": self.symmetric,
            "range_estimator": self._range_estimator.name,
            "range_estimator_params": self._range_estimator_params,
        }

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self._fields().items())})"


class ActivationQuantConfig(BaseQuantConfig):
    """Of a layer's output (its input counts as quantized by the layer before)."""

    def __init__(
        self,
        n_bits: int = 0,
        symmetric: bool = True,
        range_estimator: RangeEstimators = RangeEstimators.running_minmax,
        range_estimator_params: Any = None,
    ) -> None:
        super().__init__(range_estimator, n_bits, symmetric)
        if range_estimator_params is not None:
            self.range_estimator_params = range_estimator_params


class WeightQuantConfig(BaseQuantConfig):
    """Of a layer's weight; ``per_channel``: one range for each output."""

    def __init__(
        self,
        n_bits: int = 0,
        symmetric: bool = True,
        per_channel: bool = False,
        range_estimator: RangeEstimators = RangeEstimators.current_minmax,
        range_estimator_params: Any = None,
    ) -> None:
        super().__init__(range_estimator, n_bits, symmetric)
        self.per_channel = per_channel
        if range_estimator_params is not None:
            self.range_estimator_params = range_estimator_params

    def _fields(self) -> dict[str, Any]:
        return {**super()._fields(), "per_channel": self.per_channel}


@dataclass
class QuantizationConfig:
    """Quantizers of a layer's output and weight."""

    activation_quant: ActivationQuantConfig = field(default_factory=ActivationQuantConfig)
    weight_quant: WeightQuantConfig = field(default_factory=WeightQuantConfig)


@dataclass
class QuantizedModuleConfig:
    """The quantized form of a module (a class of ``tessera.torch``, or its name) and its quantizers."""

    quantized_module: Any
    module_qconfig: QuantizationConfig


@dataclass
class QuantizationMap:
    """What is quantized where in a network.

    Keys of ``module_qconfig_map`` are types of modules, or their names (``nn.Linear`` or "Linear", as operators "Gemm");
    the other keys are names of modules. Precedence: ``excluded_modules`` over ``instance_qconfig_map`` over
    ``module_qconfig_map``; ``input_activation_qconfig_map`` on top of any. ``default_qconfig`` is what
    ``append_default_conversions`` adds, nothing else.
    """

    default_qconfig: QuantizationConfig = field(default_factory=QuantizationConfig)
    module_qconfig_map: dict[Any, QuantizedModuleConfig] = field(default_factory=dict)
    instance_qconfig_map: dict[str, QuantizedModuleConfig] = field(default_factory=dict)
    input_activation_qconfig_map: dict[str, ActivationQuantConfig] = field(default_factory=dict)
    excluded_modules: list[str] = field(default_factory=list)


def append_default_conversions(quantization_map: QuantizationMap) -> QuantizationMap:
    """Adds ``default_qconfig`` for Linear, LayerNorm, Embedding and Conv2d where the map has no entry; returns the map."""
    import copy

    names = {_name(key) for key in quantization_map.module_qconfig_map}
    for module in ("Linear", "LayerNorm", "Embedding", "Conv2d"):
        if module not in names:
            quantization_map.module_qconfig_map[module] = QuantizedModuleConfig(
                "Quant" + module, copy.deepcopy(quantization_map.default_qconfig)
            )
    return quantization_map


def _name(module: Any) -> str:
    return module.__name__ if isinstance(module, type) else str(module).rpartition(".")[2]
