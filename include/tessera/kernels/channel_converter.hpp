#pragma once
#include <span>
#include <vector>

#include "tessera/kernels/converter.hpp"

namespace tessera::kernels {

/// A conversion of inputs whose channels have ranges of their own: InputConversion with range ranges[c] in channel c.
struct ChannelConversion {
  std::vector<float> ranges;  ///< all > 0
  float scale = 1.0F;
  Converter converter;
  float negative_factor = 1.0F;
};

/// z = DAC(x) of pixels, each of all channels; z may be x. `counts` are added to, if given. False if any x is not finite
/// (z is then unspecified). The bits of convert_inputs() of each channel alone, on all instruction sets.
bool convert_channels(const ChannelConversion& conversion, std::span<const float> x, std::span<float> z,
                      ConversionCounts* counts);

}  // namespace tessera::kernels
