#include <algorithm>

#include "tessera/results/report.hpp"

namespace tessera::results {
namespace {

/// Text for a cell of a Markdown table: one line, no bar and no markup.
std::string markdown_escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\n' || c == '\r')
      result += ' ';
    else if (std::string("|\\`*_<>[]&").find(c) != std::string::npos)
      result += std::string("\\") + c;
    else
      result += c;
  }
  return result;
}

std::string markdown_table(const ReportTable& table) {
  std::string text = "|", rule = "|";
  for (std::size_t c = 0; c < table.headings.size(); ++c) {
    text += " " + markdown_escaped(table.headings[c]) + " |";
    rule += !table.rows.empty() && table.rows.front()[c].number ? "---:|" : "---|";
  }
  text += "\n" + rule + "\n";
  for (const auto& row : table.rows) {
    text += "|";
    for (const ReportCell& cell : row) text += " " + markdown_escaped(cell.text) + " |";
    text += "\n";
  }
  return text;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string markdown_text(std::span<const Report> reports) {
  std::string text;
  for (const Report& report : reports) {
    if (report.sections.empty()) continue;
    text += fmt::format("{}# {}\n\n", text.empty() ? "" : "\n", markdown_escaped(report.title));
    for (const ReportSection& section : report.sections) {
      if (section.notes.empty() && section.tables.empty()) continue;
      text += fmt::format("## {}\n\n", markdown_escaped(section.title));
      for (const std::string& note : section.notes) text += markdown_escaped(note) + "\n\n";
      for (const ReportTable& table : section.tables)
        text += fmt::format("{}\n\n{}\n", markdown_escaped(table.caption), markdown_table(table));
    }
  }
  return text;
}

std::string csv_text(const ReportTable& table) {
  std::string text;
  for (std::size_t c = 0; c < table.headings.size(); ++c) text += (c ? "," : "") + csv_field(table.headings[c]);
  text += "\r\n";
  for (const auto& row : table.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) text += (c ? "," : "") + csv_field(row[c].exact);
    text += "\r\n";
  }
  return text;
}

}  // namespace tessera::results
