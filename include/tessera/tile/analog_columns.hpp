#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tessera/kernels/channel_converter.hpp"
#include "tessera/kernels/channel_product.hpp"
#include "tessera/tile/analog_layer.hpp"

namespace tessera::tile {

/// Analog layers of one output each, side by side: the groups of a depthwise convolution. Every layer has inputs, weights,
/// draws and state of its own, and gives the bits of its AnalogLayer::forward(); but what follows the lines is computed
/// for many layers at once, instead of many times for a column of one.
///
/// Layers qualify whose inputs are converted alike (AnalogLayer::input_conversion()), but for their input ranges, and
/// sent in one pass, on one tile of the packed product, with the same RpuParameters::forward; without read noise common to all columns
/// (ADDITIVE_CONSTANT), voltage offsets, series resistance, saturation, activation quantizers, fixed-point peripheries
/// and effects of a program's own. Converters, IR drop, PCM_READ noise, output noise, quantized peripheries and drift
/// compensation are theirs.
class AnalogColumns {
 public:
  /// Nothing if some layer does not qualify.
  static std::optional<AnalogColumns> of(std::span<const AnalogLayer* const> layers);

  std::int64_t columns() const { return columns_; }
  /// What inputs pass before forward(): x is pixels of all channels. Adds to the counts, if given. RunError if a value is
  /// not finite.
  void convert(std::span<const float> x, std::span<float> z, kernels::ConversionCounts* counts = nullptr) const;
  /// Channel c of the converted windows z through layer c, to column c of y. `first_vector` and `event`: of ForwardCall.
  /// `statistics`, if given: counts of all layers are added to it, but what their inputs clip and how large they are.
  void forward(const kernels::ChannelWindows& z, MatrixView y, std::uint64_t first_vector, std::uint32_t event,
               LayerStatistics* statistics = nullptr) const;
  /// Counts what the conversion clips of values before it, and how large they are, each in `times` vectors.
  void count_inputs(std::span<const float> x, std::int64_t times, LayerStatistics& statistics) const;

 private:
  struct Part;
  kernels::ChannelConversion conversion_;
  bool ranged_ = false, same_ranges_ = true;
  std::int64_t columns_ = 0;
  std::shared_ptr<const std::vector<Part>> parts_;
};

}  // namespace tessera::tile
