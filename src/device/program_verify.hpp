#pragma once
#include <cstdint>
#include <span>

#include "tessera/device/parameters.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::device {

struct VerifyCounts {
  std::int64_t pulses = 0;       // corrections, over all devices
  std::int64_t unconverged = 0;  // devices never read within the tolerance
};

/// Corrects the conductances g towards their targets (ProgramAndVerify). The reading before pulse p uses event 2 p of
/// the stream and its effect event 2 p + 1; elements first, first + 1, ....
VerifyCounts verify_devices(const ProgramAndVerify& loop, const random::Stream& stream, std::uint64_t first,
                            std::span<const float> targets, std::span<float> g);

}  // namespace tessera::device
