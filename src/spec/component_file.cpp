#include <charconv>
#include <fstream>

#include "cost_tables.hpp"
#include "tessera/config/document.hpp"

namespace tessera::spec {

namespace {

using config::Position;
using config::Report;

std::string trimmed(std::string text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.back())) text.pop_back();
  std::size_t first = 0;
  while (first < text.size() && blank(text[first])) ++first;
  return text.substr(first);
}

struct Field {
  std::string text;
  int column = 1;
};

std::vector<Field> fields_of(const std::string& line) {
  std::vector<Field> fields;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = line.find(',', begin);
    fields.push_back(
        {trimmed(line.substr(begin, end == std::string::npos ? end : end - begin)), static_cast<int>(begin) + 1});
    if (end == std::string::npos) return fields;
    begin = end + 1;
  }
}

std::optional<double> number_of(const std::string& text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// A row of CSV as the YAML entry that means the same, so that one reader checks both.
void add_row(const std::vector<Field>& fields, const Position& position, config::Node& map, Report& report) {
  if (fields.size() < 4) {
    report.problem(position, fields.front().text, "a row is key,low,nominal,high[,source]");
    return;
  }
  static const char* const names[] = {"low", "nominal", "high"};
  config::Node row = config::Node::map();
  row.position = position;
  for (std::size_t i = 0; i < 3; ++i) {
    Position at = position;
    at.column = fields[i + 1].column;
    if (!number_of(fields[i + 1].text)) {
      report.problem(at, fields.front().text + "." + names[i],
                     fmt::format("expected a number, got '{}'", fields[i + 1].text));
      return;
    }
    config::Node value = config::Node::plain(fields[i + 1].text);
    value.position = at;
    row.entries.push_back({names[i], std::move(value), at});
  }
  if (map.find(fields.front().text) != nullptr) {
    report.problem(position, fields.front().text, "is there twice");
    return;
  }
  map.entries.push_back({fields.front().text, std::move(row), position});
}

config::Node read_csv(const std::string& path, Report& report) {
  std::ifstream file(path);
  require<InputError>(file.good(), "{}: cannot be read", path);
  const auto source = std::make_shared<const config::Source>(config::Source{path, {}});
  config::Node map = config::Node::map();
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (trimmed(line).empty() || trimmed(line).starts_with('#')) continue;
    const std::vector<Field> fields = fields_of(line);
    if (fields.front().text == "key") continue;
    add_row(fields, {source, number, fields.front().column}, map, report);
  }
  return map;
}

}  // namespace

cost::ComponentRows read_component_file(const std::string& path, const Position& at, Report& report) {
  cost::ComponentRows rows;
  try {
    const bool yaml = path.ends_with(".yaml") || path.ends_with(".yml");
    const config::Node map = yaml ? config::load(path) : read_csv(path, report);
    component_rows_type().read(map, {}, rows, report);
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems())
      report.problem(
          {std::make_shared<const config::Source>(config::Source{problem.file, {}}), problem.line, problem.column},
          problem.key, problem.message);
  } catch (const InputError& error) {
    report.problem(at, "cost.component_table", error.what());
  }
  return rows;
}

}  // namespace tessera::spec
