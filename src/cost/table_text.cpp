#include "tessera/cost/table_text.hpp"

#include <fmt/format.h>

#include <iterator>

namespace tessera::cost {

namespace {

std::string source_of(const ComponentRow& row, const ComponentTable& table) {
  return table[row.component] == row.value ? std::string(row.source) : std::string("configuration");
}

}  // namespace

std::string table_csv(const ComponentTable& table) {
  std::string text = "key,low,nominal,high,unit,source\n";
  for (const ComponentRow& row : component_rows()) {
    const Coefficient& value = table[row.component];
    std::string source = source_of(row, table);
    for (char& c : source)
      if (c == ',') c = ';';
    fmt::format_to(std::back_inserter(text), "{},{},{},{},{},{}\n", row.key, value.low, value.nominal, value.high,
                   row.unit, source);
  }
  return text;
}

std::string table_markdown(const ComponentTable& table) {
  std::string text =
      "| key | low | nominal | high | unit | node (nm) | scaling | source |\n|---|---|---|---|---|---|---|---|\n";
  for (const ComponentRow& row : component_rows()) {
    const Coefficient& value = table[row.component];
    fmt::format_to(std::back_inserter(text), "| `{}` | {} | {} | {} | {} | {} | {} | {} |\n", row.key, value.low,
                   value.nominal, value.high, row.unit == "1" ? std::string_view() : row.unit,
                   row.node_nm > 0.0 ? fmt::format("{}", row.node_nm) : std::string(), row.scaling,
                   source_of(row, table));
  }
  return text;
}

}  // namespace tessera::cost
