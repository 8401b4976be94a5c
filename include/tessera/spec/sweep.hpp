#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/results/records.hpp"
#include "tessera/spec/run_config.hpp"

/// Many configurations from one file: the `sweep:` section.
///
///     sweep:
///       mode: grid                      # grid: every combination; zip: the axes together; list: `points` as given
///       axes:                           # grid, zip: any configuration key -> values
///         rpu_config.pre_post.periph_quant.n_bits: {range: [2, 8]}
///         rpu_config.forward.out_noise: {logspace: [0.01, 1, 5]}
///         layers.fc2.rpu_config.forward.out_res: [14, 254]
///       points:                         # list only: maps from keys to values
///         - {seed: 1, rpu_config.forward.out_noise: 0.1}
///       isolated: false                 # true: each layer alone with float32 inputs; errors, no accuracy
///       stop: {half_width: 0.1, max_repeats: 50}   # chips until the 95 % interval is +- 0.1 percentage points
///
/// Values: a list of anything the key takes, {range: [first, last]} or {range: [first, last, step]} (both ends
/// included), {linspace: [first, last, count]}, {logspace: [first, last, count]} (equal ratios between the two ends).
namespace tessera::spec {

/// One configuration of a sweep.
struct SweepPoint {
  std::vector<std::int64_t> index;    ///< along the axes
  std::vector<std::string> settings;  ///< "key=value", as --set would give it
  RunConfig config;
};

struct SweepPlan {
  /// grid: one axis per key, named by the shortest end of the key that tells it from the others; zip and list: one axis
  /// "point" whose coordinates are the settings.
  std::vector<results::Axis> axes;
  std::vector<SweepPoint> points;  ///< row-major over the axes
  bool isolated = false;
  std::optional<sim::StopParameters> stop = {};
};

/// Most points of one sweep.
inline constexpr std::int64_t most_sweep_points = 1'000'000;

/// Reads a configuration with a `sweep:` section and checks every point. Throws ConfigError that lists unknown keys,
/// illegal values with the point they occur at, empty axes, axes of unequal length in zip mode, and too many points.
SweepPlan read_sweep(const std::string& path, const std::vector<std::string>& overrides = {},
                     config::Report* report = nullptr);
/// The same for a merged document, overrides applied.
SweepPlan read_sweep(config::Node document, config::Report* report = nullptr);

}  // namespace tessera::spec
