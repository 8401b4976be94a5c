"""Quantizers and number formats under the names of the field: aihwkit's, QPyTorch's and snnTorch's.

Everything is computed by the library, bit for bit as in simulations, on NumPy arrays; ``tessera.torch`` has the same
with gradients. Numbers are rounded once; ``double_rounding=True`` of the formats gives QPyTorch's bits, which now and
then are those of the farther neighbour. Where rounding is stochastic, ``seed=None`` draws a seed from NumPy's global
generator, so that ``numpy.random.seed`` makes a program repeatable; a number makes a single call repeatable.
"""

from ..errors import QuantizerNotInitializedError
from ..parameters import (
    ActivationQuantConfig,
    BaseQuantConfig,
    CrossEntropyEstimatorParams,
    CurrentMinMaxEstimatorParams,
    MSEEstimatorParams,
    OptMethod,
    QuantizationConfig,
    QuantizationMap,
    QuantizedModuleConfig,
    RangeEstimators,
    RunningMinMaxEstimatorParams,
    WeightQuantConfig,
    append_default_conversions,
)
from ._formats import (
    BlockFloatingPoint,
    FixedPoint,
    FloatingPoint,
    Number,
    Quantizer,
    block_quantize,
    fixed_point_quantize,
    float_quantize,
    number_names,
    quantize,
    quantizer,
)
from ._states import Leaky, StateQuant, state_quant, state_quant_from_levels
from ._uniform import (
    AsymmetricUniformQuantizer,
    FloorStraightThrough,
    QMethodMap,
    QMethods,
    QuantizerBase,
    RangeEstimator,
    RoundStraightThrough,
    SymmetricUniformQuantizer,
)

__all__ = [
    "ActivationQuantConfig",
    "AsymmetricUniformQuantizer",
    "BaseQuantConfig",
    "BlockFloatingPoint",
    "CrossEntropyEstimatorParams",
    "CurrentMinMaxEstimatorParams",
    "FixedPoint",
    "FloatingPoint",
    "FloorStraightThrough",
    "Leaky",
    "MSEEstimatorParams",
    "Number",
    "OptMethod",
    "QMethodMap",
    "QMethods",
    "QuantizationConfig",
    "QuantizationMap",
    "QuantizedModuleConfig",
    "Quantizer",
    "QuantizerBase",
    "QuantizerNotInitializedError",
    "RangeEstimator",
    "RangeEstimators",
    "RoundStraightThrough",
    "RunningMinMaxEstimatorParams",
    "StateQuant",
    "SymmetricUniformQuantizer",
    "WeightQuantConfig",
    "append_default_conversions",
    "block_quantize",
    "fixed_point_quantize",
    "float_quantize",
    "number_names",
    "quantize",
    "quantizer",
    "state_quant",
    "state_quant_from_levels",
]
