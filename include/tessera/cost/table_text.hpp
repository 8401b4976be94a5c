#pragma once
#include <string>

#include "tessera/cost/components.hpp"

namespace tessera::cost {

/// A table as CSV, which `cost.component_table` reads: key,low,nominal,high,unit,source.
std::string table_csv(const ComponentTable& table);

/// The same as a Markdown table with nodes and scaling; rows that differ from the built-in ones have no source.
std::string table_markdown(const ComponentTable& table);

}  // namespace tessera::cost
