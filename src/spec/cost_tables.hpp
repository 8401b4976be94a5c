#pragma once
#include "tessera/config/type.hpp"
#include "tessera/cost/parameters.hpp"

namespace tessera::spec {

/// The key table of `cost:`.
config::Type<cost::CostParameters> cost_parameters();
/// The keys of it that a rule of `layers:` may give, for partial keys that are read over the network's.
const config::Type<cost::HardwareParameters>& hardware_keys();

/// Components by name, each a number or an interval.
config::Type<cost::ComponentRows> component_rows_type();

/// Rows of a user's component table: CSV with `key,low,nominal,high[,source]`, or YAML `{key: number | {low, nominal,
/// high}}` for .yaml and .yml. Everything that is wrong goes to the report with file, line and column; a file that
/// cannot be read with the position `at` of its name.
cost::ComponentRows read_component_file(const std::string& path, const config::Position& at, config::Report& report);

}  // namespace tessera::spec
