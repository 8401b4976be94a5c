#pragma once
#include <ostream>
#include <string>

#include "tessera/app/cost.hpp"

namespace tessera::cli {

/// 1.234e-6 with "J" -> "1.234 µJ".
std::string format_si(double value, const char* unit);

/// Tables of an estimate by layer and component, sums and what is not counted.
void print_cost_summary(std::ostream& out, const app::CostEstimate& estimate);

}  // namespace tessera::cli
