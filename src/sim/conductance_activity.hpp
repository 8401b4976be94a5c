#pragma once
#include <optional>

#include "tessera/sim/analog_network.hpp"

namespace tessera::sim {

/// Mean of g+ + g- over g_max of a layer's weights as this read finds them; of |w| without devices; none for products
/// of two activations, whose weights come with the data.
std::optional<double> conductance_mean(const ProgrammedChip& chip, const AnalogNetwork& network, std::size_t layer,
                                       std::optional<double> time_s, std::uint32_t read, Parallel parallel);

}  // namespace tessera::sim
