#include <cmath>

#include "tile/effects/law.hpp"

// The scale that brings a vector into the range of the DAC, and is taken back behind the ADC: exact by itself.
namespace tessera::tile {
namespace {

void check(const RpuParameters& p, EffectProblems& problems) {
  problems.expect(p.forward.noise_management != NoiseManagementType::CONSTANT || !std::isinf(p.forward.nm_thres),
                  "forward.nm_thres", fmt::format("{} scales every input to 0 under CONSTANT", p.forward.nm_thres));
}

}  // namespace

std::vector<Effect> noise_management() {
  return {{.name = "noise management",
           .place = 8,
           .page = "tile_managements.md",
           .law = "c = 1 / a, a = max |x|, ...",
           .keys = {key<&IOParameters::noise_management>("noise_management", {}, {0.0, 2.0, 3.0, 4.0, 5.0}),
                    key<&IOParameters::nm_thres>("nm_thres", Range::or_infinite(), {0.8})},
           .check = check,
           .note = [](const RpuParameters& p, EffectNotes& notes) {
             const bool limited = p.forward.noise_management != NoiseManagementType::NONE &&
                                  p.forward.noise_management != NoiseManagementType::AVERAGE_ABS_MAX;
             notes.unless(limited, "forward.nm_thres", p.forward.nm_thres, default_parameters.forward.nm_thres,
                          "noise_management is NONE or AVERAGE_ABS_MAX");
           }}};
}

}  // namespace tessera::tile
