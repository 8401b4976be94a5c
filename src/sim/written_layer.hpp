#pragma once
#include <cstdint>

#include "tessera/device/life_cycle.hpp"
#include "tessera/tile/analog_layer.hpp"

namespace tessera::sim {

/// The tiles `layer` with another weight, mapped as if the layer were built from it: same parameters, same chip (what
/// is frozen in it), input ranges and activation ranges of `layer`. With `device` the weight is programmed, matrix
/// number `written` with errors of its own (the streams of a seed that is a hash of the chip's and of `written`), and
/// used right after that.
tile::AnalogLayer written_layer(const tile::AnalogLayer& layer, ConstMatrixView weight,
                                const device::DeviceParameters* device, std::uint64_t written);

}  // namespace tessera::sim
