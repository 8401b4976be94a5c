"""PyTorch modules on the library: layers on analog tiles to train in one's own loop, and quantizers with gradients.

Values and gradients are computed by the library on the processor; tensors on other devices travel there and back.
"""

from ._formats import Quantizer, block_quantize, fixed_point_quantize, float_quantize, quantizer
from ._layers import AnalogConv2d, AnalogLinear, convert_to_analog
from ._modules import (
    QuantBatchNorm2d,
    QuantConv2d,
    QuantEmbedding,
    QuantizedInputModule,
    QuantizedModule,
    QuantLayerNorm,
    QuantLinear,
    convert_to_quantized,
)
from ._neurons import Leaky, StateQuant, state_quant
from ._quantizers import (
    AsymmetricUniformQuantizer,
    FloorStraightThrough,
    Qstates,
    QuantizationManager,
    QuantizerBase,
    RoundStraightThrough,
    SymmetricUniformQuantizer,
)

__all__ = [
    "AnalogConv2d",
    "AnalogLinear",
    "AsymmetricUniformQuantizer",
    "FloorStraightThrough",
    "Leaky",
    "Qstates",
    "QuantBatchNorm2d",
    "QuantConv2d",
    "QuantEmbedding",
    "QuantLayerNorm",
    "QuantLinear",
    "QuantizationManager",
    "QuantizedInputModule",
    "QuantizedModule",
    "Quantizer",
    "QuantizerBase",
    "RoundStraightThrough",
    "StateQuant",
    "SymmetricUniformQuantizer",
    "block_quantize",
    "convert_to_analog",
    "convert_to_quantized",
    "fixed_point_quantize",
    "float_quantize",
    "quantizer",
    "state_quant",
]
