#pragma once
#include <cstdint>
#include <functional>

#include "tessera/device/life_cycle.hpp"
#include "tessera/device/retention.hpp"
#include "tessera/tile/analog_layer.hpp"

namespace tessera::sim {

/// The tiles `layer` with another weight, mapped as if the layer were built from it: same parameters, same chip (what
/// is frozen in it), input ranges and activation ranges of `layer`. With `device` the weight is programmed, matrix
/// number `written` with errors of its own (the streams of a seed that is a hash of the chip's and of `written`), and
/// used right after that.
tile::AnalogLayer written_layer(const tile::AnalogLayer& layer, ConstMatrixView weight,
                                const device::DeviceParameters* device, std::uint64_t written);

/// A matrix that leaks between writing and reading: shows `read` the layer as vectors [first, first + count) of
/// `readers` find it, all vectors once and in order. InputError where it is not clear which axis of the matrix counts
/// positions.
void read_leaking(
    const tile::AnalogLayer& written, const device::RetentionParameters& retention, std::uint64_t number,
    std::int64_t readers,
    const std::function<void(const tile::AnalogLayer& layer, std::int64_t first, std::int64_t count)>& read);

}  // namespace tessera::sim
