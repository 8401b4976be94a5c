#pragma once
#include <ostream>

#include "tessera/results/search_record.hpp"

namespace tessera::cli {

/// The sentences, bits by layer, and the Pareto front.
void print_search_summary(std::ostream& out, const results::SearchRecord& record);

}  // namespace tessera::cli
