#pragma once
#include <memory>
#include <string>
#include <vector>

#include "tessera/app/result_file.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/results/records.hpp"
#include "tessera/sim/cost_model.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::app {

struct CostOptions {
  std::string file = {};  ///< result file; "": in memory
};

/// What an inference of a configuration costs, without data: activity as the component table assumes it.
struct CostEstimate {
  spec::RunConfig config;
  std::shared_ptr<const nn::Executor> executor;
  sim::CostDescription description;
  results::CostRecord record;
  sim::ProgrammingSummary programming;
  double calibration_J_per_day = 0.0;
  std::vector<std::string> notes;
  ResultFile file;  ///< the numbers (docs/formats/results.md, /cost)
};

}  // namespace tessera::app
