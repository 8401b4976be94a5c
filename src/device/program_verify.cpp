#include "device/program_verify.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tessera::device {

VerifyCounts verify_devices(const ProgramAndVerify& loop, const random::Stream& stream, std::uint64_t first,
                            std::span<const float> targets, std::span<float> g) {
  const auto tolerance = static_cast<float>(loop.tolerance);
  const auto gain = static_cast<float>(loop.gain);
  const auto pulse_noise = static_cast<float>(loop.pulse_noise);
  const auto read_noise = static_cast<float>(loop.read_noise);
  VerifyCounts counts;
  std::vector<std::size_t> active(g.size());
  for (std::size_t i = 0; i < active.size(); ++i) active[i] = i;
  std::vector<float> readings(g.size()), effects(g.size());
  for (int pulse = 0; !active.empty(); ++pulse) {
    const auto event = static_cast<std::uint32_t>(2 * pulse);
    random::fill_normal(stream, event, first, readings);
    std::erase_if(active, [&](std::size_t i) {
      readings[i] = g[i] + read_noise * readings[i];
      return std::abs(readings[i] - targets[i]) <= tolerance;
    });
    if (pulse == loop.max_pulses) break;
    if (!active.empty()) random::fill_normal(stream, event + 1, first, effects);
    for (const std::size_t i : active) {
      const float step = gain * (targets[i] - readings[i]);
      g[i] = std::max(0.0F, g[i] + step * (1.0F + pulse_noise * effects[i]));
    }
    counts.pulses += static_cast<std::int64_t>(active.size());
  }
  counts.unconverged = static_cast<std::int64_t>(active.size());
  return counts;
}

}  // namespace tessera::device
