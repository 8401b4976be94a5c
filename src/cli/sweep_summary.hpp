#pragma once
#include <ostream>
#include <string>

namespace tessera::cli {

/// The table that ends a sweep: accuracy by point with its interval, and the paired difference to the best point; of an
/// isolated sweep the error of every layer by point.
void print_sweep_summary(std::ostream& out, const std::string& file);

}  // namespace tessera::cli
