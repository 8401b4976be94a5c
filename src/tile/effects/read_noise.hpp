#pragma once
#include "tile/product_block.hpp"

namespace tessera::tile {

struct Stage;

/// Private: read noise of the weights, referred to the outputs (reference section 4.6.3). Its variance is computed with
/// the columns; it is added in front of the output stage, or drawn with the output noise where nothing lies between
/// them: independent Gaussians add up to one.
inline bool has_read_noise(const IOParameters& io) {
  return io.w_noise > 0.0 && io.w_noise_type != WeightNoiseType::NONE;
}
/// ADDITIVE_CONSTANT: variance = sum z^2 in every column. PCM_READ: the engine's.
void common_variance(ConstMatrixView z, MatrixView variance);
/// v += w_noise sqrt(variance) xi, with the variance in the stage's scratch; record: d v / d variance.
void add_read_noise(const Stage& stage, MatrixView v, PhaseTrace* record);
/// The same in the ADC's block: the standard deviation s of the output noise becomes sqrt(s^2 + w_noise^2 variance).
void join_read_noise(const Stage& stage, kernels::AdcBlock& adc, PhaseTrace* record);

}  // namespace tessera::tile
