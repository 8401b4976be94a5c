#pragma once
#include <optional>
#include <vector>

#include "tessera/sim/search.hpp"

namespace tessera::sim {

/// For every knob and rung the error power of the knob's layer, alone and with float32 inputs, over the power of its
/// output; none for knobs of the whole network.
using RungErrors = std::vector<std::vector<double>>;

/// One isolated evaluation for every rung of every key: all knobs of the key at that rung, all others as given.
/// Nothing if cancelled.
std::optional<RungErrors> rung_errors(const SearchProblem& problem, Parallel parallel, const Environment& environment);

}  // namespace tessera::sim
