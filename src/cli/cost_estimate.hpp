#pragma once
#include <string>

#include "tessera/core/messages.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/results/records.hpp"
#include "tessera/sim/cost_model.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::cli {

/// What an inference of a configuration costs, without data: activity as the component table assumes it.
struct CostEstimate {
  nn::Executor executor;
  sim::CostDescription description;
  results::CostRecord record;
  sim::ProgrammingSummary programming;
  double calibration_J_per_day = 0.0;
  std::vector<std::string> notes;
};

/// A configuration without `cost:` is counted with the default hardware. Throws what reading the network does, and
/// ConfigError with keys of `cost:` where a layer cannot be built.
CostEstimate estimate_cost(const spec::RunConfig& config, const Environment& environment);

/// The header of its result file: axes and layers; provenance is the caller's.
results::Header cost_header(const spec::RunConfig& config, const CostEstimate& estimate);

}  // namespace tessera::cli
