#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"
#include "results/report_markup.hpp"
#include "results/report_sections.hpp"

namespace tessera::results {
namespace {

constexpr std::size_t most_places = 16;
constexpr std::size_t most_maps = 8;

/// Blocks of about as many lines each: where they begin.
std::vector<std::size_t> block_begins(std::size_t lines) {
  const std::size_t blocks = std::min(lines, most_places);
  std::vector<std::size_t> begins;
  for (std::size_t b = 0; b <= blocks; ++b) begins.push_back(b * lines / std::max<std::size_t>(blocks, 1));
  return begins;
}

std::vector<std::string> block_labels(const std::vector<std::size_t>& begins) {
  std::vector<std::string> labels;
  for (std::size_t b = 0; b + 1 < begins.size(); ++b)
    labels.push_back(begins[b + 1] == begins[b] + 1 ? fmt::format("{}", begins[b])
                                                    : fmt::format("{}–{}", begins[b], begins[b + 1] - 1));
  return labels;
}

/// Mean of what is there in every block.
std::vector<double> block_means(const std::vector<Estimate>& map, std::size_t columns,
                                const std::vector<std::size_t>& rows, const std::vector<std::size_t>& cols) {
  std::vector<double> means;
  for (std::size_t r = 0; r + 1 < rows.size(); ++r)
    for (std::size_t c = 0; c + 1 < cols.size(); ++c) {
      double sum = 0.0, count = 0.0;
      for (std::size_t j = rows[r]; j < rows[r + 1]; ++j)
        for (std::size_t i = cols[c]; i < cols[c + 1]; ++i)
          if (const double value = map[j * columns + i].mean; !std::isnan(value)) {
            sum += value;
            count += 1.0;
          }
      means.push_back(count > 0.0 ? sum / count : missing);
    }
  return means;
}

void add_map(ReportSection& section, const ReportSource& source, const LayerInfo& layer) {
  const auto array = source.read(layer.group + "/ir_drop_map");
  if (!array || array->dims.size() < 2) return;
  const auto extent = [&](const char* dim) {
    const auto at = std::find(array->dims.begin(), array->dims.end(), dim) - array->dims.begin();
    return static_cast<std::size_t>(array->shape.at(static_cast<std::size_t>(at)));
  };
  const std::size_t outputs = extent("array_output"), inputs = extent("array_input");
  const std::vector<std::size_t> rows = block_begins(inputs), columns = block_begins(outputs);
  // Inputs downwards, as the array is drawn: drivers on the left, sense nodes below.
  const std::vector<Estimate> map = source.estimates(*array, {"array_input", "array_output"});
  HeatMap chart{.title = fmt::format("Current lost in the wires, {}", layer.name),
                .row_label = "input line",
                .column_label = "output line (drivers on the left, sense nodes below)",
                .value_label = "lost (%)",
                .rows = block_labels(rows),
                .columns = block_labels(columns),
                .values = block_means(map, outputs, rows, columns),
                .scale = 100.0,
                .digits = 1};
  std::string svg = draw(chart);
  if (svg.empty()) return;
  section.figures.push_back({identifier(fmt::format("ir-drop-{}", layer.name)),
                             fmt::format("Layer {}: percent of the current of each place in its arrays that is lost in "
                                         "the wires, with every input driven alone. Mean over tiles and weight slices.",
                                         layer.name),
                             std::move(svg)});
}

std::string by_slice(const ReportSource& source, const LayerInfo& layer, const char* variable) {
  const auto array = source.read(layer.group + "/" + variable);
  if (!array) return "–";
  std::string text;
  for (const Estimate& e : source.estimates(*array, {"weight_slice"}))
    text += fmt::format("{}{}", text.empty() ? "" : " / ",
                        std::isnan(e.mean) ? "–" : fmt::format("{:.2f} %", 100.0 * e.mean));
  return text;
}

}  // namespace

ReportSection crossbar_section(const ReportSource& source) {
  ReportSection section{"Crossbars", {}, {}, {}, {}};
  ReportTable table{
      "crossbars",
      fmt::format("Arrays and converters. Weight slices: least significant first; means over points and {}.",
                  source.unit()),
      {"layer", "arrays", "converters", "wires alone (dB)", "saturated by slice", "codes used by slice"},
      {}};
  ReportTable compensated{"compensation",
                          "What making up for the wires leaves: root mean square of wanted minus effective "
                          "conductances, in fully-on cells.",
                          {"layer", "before", "remaining", "cells at their limits"},
                          {}};
  std::size_t maps = 0;
  for (const LayerInfo& layer : source.layers()) {
    const Estimate arrays = source.estimate(layer.group + "/crossbar_arrays");
    if (!(arrays.mean > 0.0)) continue;
    const auto mean = [&](const char* name) { return source.estimate(layer.group + "/" + name).mean; };
    table.rows.push_back({text_cell(layer.name), number_cell(arrays.mean), number_cell(mean("crossbar_converters")),
                          decibel_cell(mean("ir_drop_db")),
                          text_cell(by_slice(source, layer, "slice_saturation_fraction")),
                          text_cell(by_slice(source, layer, "slice_codes_used"))});
    if (const double before = mean("compensation_before"); !std::isnan(before))
      compensated.rows.push_back({text_cell(layer.name), number_cell(before),
                                  number_cell(mean("compensation_remaining")),
                                  text_cell(fmt::format("{:.1f} %", 100.0 * mean("compensation_at_limit")))});
    if (source.reader().has(layer.group + "/ir_drop_map") && maps++ < most_maps) add_map(section, source, layer);
  }
  if (table.rows.empty()) return section;
  section.tables.push_back(std::move(table));
  if (!compensated.rows.empty()) section.tables.push_back(std::move(compensated));
  if (maps > most_maps) section.notes.push_back(fmt::format("Maps of the first {} of {} layers.", most_maps, maps));
  return section;
}

}  // namespace tessera::results
