#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "device_tables.hpp"
#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using config::Node;
using config::Report;
using config::Type;
using device::DeviceTable;

constexpr std::uintmax_t most_bytes = 1U << 20U;

std::string without_spaces(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  return first == std::string::npos ? std::string() : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream stream(line);
  for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(without_spaces(cell));
  if (line.ends_with(',')) cells.emplace_back();
  return cells;
}

bool parse_number(const std::string& text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

double number_in(const std::string& text, const std::string& path, std::size_t line) {
  double value = 0.0;
  require<InputError>(parse_number(text, value), "'{}' line {}: '{}' is not a number", path, line, text);
  return value;
}

/// Columns: conductance, then one column of values, or one for each time named in the first line. Lines that start with
/// '#' are comments.
DeviceTable read_csv(const std::string& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  require<InputError>(!error, "cannot read '{}' ({})", path, error.message());
  require<InputError>(size <= most_bytes, "'{}' has {} bytes; a table has at most {}", path, size, most_bytes);
  std::ifstream stream(path);
  DeviceTable table;
  std::vector<std::vector<double>> rows;
  std::size_t columns = 0;
  std::size_t line_number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++line_number;
    if (without_spaces(line).empty() || without_spaces(line)[0] == '#') continue;
    const std::vector<std::string> cells = cells_of(line);
    double ignored = 0.0;
    if (columns == 0) {
      columns = cells.size();
      require<InputError>(columns >= 2, "'{}' line {}: expected a conductance and at least one value", path,
                          line_number);
      if (!parse_number(cells[0], ignored)) {
        const bool names_times = columns > 2 || parse_number(cells[1], ignored);
        for (std::size_t i = 1; names_times && i < columns; ++i)
          table.time.push_back(number_in(cells[i], path, line_number));
        continue;
      }
      require<InputError>(columns == 2,
                          "'{}' line {}: several columns of values need a first line that names their times", path,
                          line_number);
    }
    require<InputError>(cells.size() == columns, "'{}' line {}: {} columns, not {} as in the first line", path,
                        line_number, cells.size(), columns);
    std::vector<double>& row = rows.emplace_back();
    for (const std::string& cell : cells) row.push_back(number_in(cell, path, line_number));
  }
  require<InputError>(!rows.empty(), "'{}' has no values", path);
  for (const std::vector<double>& row : rows) table.g.push_back(row[0]);
  for (std::size_t column = 1; column < columns; ++column)
    for (const std::vector<double>& row : rows) table.values.push_back(row[column]);
  return table;
}

/// Time-major values: one list, or one list for each time.
Type<std::vector<double>> time_major_values() {
  const Type<std::vector<double>> row = config::list(config::real());
  const Type<std::vector<std::vector<double>>> rows = config::list(row);
  return {row.info,
          [row, rows](const Node& node, const std::string& key, std::vector<double>& value, Report& report) {
            if (!node.is_list() || node.items.empty() || !node.items[0].is_list()) {
              row.read(node, key, value, report);
              return;
            }
            const std::size_t before = report.problems().size();
            std::vector<std::vector<double>> read;
            rows.read(node, key, read, report);
            if (report.problems().size() != before) return;
            value.clear();
            for (std::size_t i = 0; i < read.size(); ++i) {
              if (read[i].size() != read[0].size())
                report.problem(
                    node.items[i].position, key,
                    fmt::format("{} values for time {}, but {} for the first", read[i].size(), i, read[0].size()));
              value.insert(value.end(), read[i].begin(), read[i].end());
            }
          },
          row};
}

}  // namespace

Type<DeviceTable> device_table() {
  const Type<std::string> path = config::path();
  const Type<DeviceTable> table =
      config::Section<DeviceTable>(
          "DeviceTable",
          "Values over conductance and, optionally, time: linear in conductance, and in the logarithm of time. As CSV: "
          "a "
          "column of conductances and a column of values, or one column per time with the times in the first line.")
          .action("file", path.info, {.help = "CSV file instead of the keys below"},
                  [path](const Node& node, const std::string& key, DeviceTable& value, Report& report) {
                    const std::size_t before = report.problems().size();
                    std::string file;
                    path.read(node, key, file, report);
                    if (report.problems().size() != before) return;
                    try {
                      value = read_csv(file);
                    } catch (const InputError& error) {
                      report.problem(node.position, key, error.what());
                    }
                  })
          .field("g", &DeviceTable::g, {.unit = "uS", .help = "ascending, covering the devices' range"})
          .field("time", &DeviceTable::time, {.unit = "s", .help = "ascending; []: the values hold at any time"})
          .field("values", &DeviceTable::values, time_major_values(),
                 {.help = "one per conductance; with times a list for each time"});
  auto info = std::make_shared<config::TypeInfo>(*table.info);
  info->nullable = true;
  return {info,
          [table](const Node& node, const std::string& key, DeviceTable& value, Report& report) {
            if (node.is_null())
              value = {};
            else
              table.read(node, key, value, report);
          },
          [table](const DeviceTable& value) { return value.empty() ? Node::null() : table.write(value); }};
}

}  // namespace tessera::spec
