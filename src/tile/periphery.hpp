#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/quant/uniform_quantizer.hpp"
#include "tessera/tile/parameters.hpp"

/// Private: quantization of the periphery's numbers, the merged affine scale and the bias (quantization reference E.2).
namespace tessera::tile {

/// Values after quantization, with what produced them.
struct QuantizedValues {
  std::vector<float> values;
  std::vector<std::int32_t> codes;
  std::vector<float> step;
  std::int32_t zero_point = 0;
};

/// The quantizer of one group of periphery values with the range of `values` (current min-max), or with `range` if that
/// is not empty. Only for n_bits > 0. ConfigError if the word length cannot hold the values' signs.
quant::UniformQuantizer periphery_quantizer(const PeripheryQuantizationParameter& parameters,
                                            std::span<const float> values, const quant::UniformQuantizerState& range,
                                            const char* what);

QuantizedValues quantize_periphery(const quant::UniformQuantizer& quantizer, std::span<const float> values);

/// 10 log10(sum exact^2 / sum (exact - quantized)^2); infinity if they are equal.
double sqnr_db(std::span<const float> exact, std::span<const float> quantized);

}  // namespace tessera::tile
