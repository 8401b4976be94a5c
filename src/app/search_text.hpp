#pragma once
#include <string>

#include "tessera/results/search_record.hpp"

namespace tessera::app {

/// "97.12 % ± 0.21" over the chips of a point.
std::string accuracy_text(const results::SearchRecord& record, std::size_t point);

/// Costs are whole numbers but where a weight is none.
std::string cost_text(double cost);

}  // namespace tessera::app
