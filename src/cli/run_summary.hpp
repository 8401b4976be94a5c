#pragma once
#include <ostream>
#include <string>

#include "tessera/sim/evaluate.hpp"

namespace tessera::cli {

/// The table for people: per layer kind, tiles, error and clipping; then accuracies and speed.
void print_run_summary(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result,
                       const std::string& name);

}  // namespace tessera::cli
