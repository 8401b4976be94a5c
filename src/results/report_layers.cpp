#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"
#include "results/report_markup.hpp"
#include "results/report_sections.hpp"
#include "tessera/results/layer_statistics.hpp"

namespace tessera::results {
namespace {

/// One column of the table of layers.
struct LayerColumn {
  std::string_view variable;
  std::string_view heading;
  StatisticFormat format;
};

std::vector<LayerColumn> layer_columns() {
  std::vector<LayerColumn> columns;
  for (const LayerStatistic& row : layer_statistics())
    if (!row.heading.empty()) columns.push_back({row.name, row.heading, row.format});
  columns.push_back({"periphery_scale_sqnr_db", "periphery scale SQNR (dB)", StatisticFormat::decibel});
  columns.push_back({"bias_sqnr_db", "bias SQNR (dB)", StatisticFormat::decibel});
  columns.push_back({"weight_sqnr_db", "weight SQNR (dB)", StatisticFormat::decibel});
  return columns;
}

ReportCell cell(const LayerColumn& column, double value) {
  switch (column.format) {
    case StatisticFormat::decibel:
      return decibel_cell(value);
    case StatisticFormat::fraction:
      return percent_cell(value);
    case StatisticFormat::number:
    case StatisticFormat::none:
      break;
  }
  return number_cell(value);
}

std::string tiles_text(const ReportSource& source, const LayerInfo& layer) {
  const auto inputs = source.read(layer.group + "/tile_inputs");
  const auto outputs = source.read(layer.group + "/tile_outputs");
  if (!inputs || !outputs) return "–";
  const std::vector<Estimate> rows = source.estimates(*inputs, {"tile"});
  const std::vector<Estimate> columns = source.estimates(*outputs, {"tile"});
  const auto tiles = std::count_if(rows.begin(), rows.end(), [](const Estimate& e) { return e.points > 0; });
  const auto largest = [](const std::vector<Estimate>& all) {
    double most = 0.0;
    for (const Estimate& e : all) most = std::fmax(most, e.highest);
    return most;
  };
  return fmt::format("{} of {:.0f} × {:.0f}", tiles, largest(rows), largest(columns));
}

std::string over_text(const ReportSource& source) {
  const bool sweep = !source.swept().empty(), several = source.times().size() > 1;
  if (sweep) return several ? "all points, times and repeats" : "all points and repeats";
  return several ? "all times and repeats" : "repeats";
}

ReportTable layer_table(const ReportSource& source) {
  ReportTable table{"layers",
                    fmt::format("Layers in network order. Numbers are means over {}.", over_text(source)),
                    {"layer", "operator", "tiles (in × out)", "vector in", "vector out"},
                    {}};
  const std::vector<LayerColumn> columns = layer_columns();
  std::vector<std::vector<double>> values;
  for (const LayerInfo& layer : source.layers()) {
    values.emplace_back();
    for (const LayerColumn& column : columns)
      values.back().push_back(source.estimate(fmt::format("{}/{}", layer.group, column.variable)).mean);
  }
  std::vector<std::size_t> present;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (std::none_of(values.begin(), values.end(), [&](const auto& row) { return !std::isnan(row[c]); })) continue;
    present.push_back(c);
    table.headings.emplace_back(columns[c].heading);
  }
  for (std::size_t l = 0; l < source.layers().size(); ++l) {
    const LayerInfo& layer = source.layers()[l];
    std::vector<ReportCell> row{text_cell(layer.name), text_cell(layer.op),
                                text_cell(layer.analog ? tiles_text(source, layer) : "digital"),
                                count_cell(layer.inputs), count_cell(layer.outputs)};
    for (const std::size_t c : present) row.push_back(cell(columns[c], values[l][c]));
    table.rows.push_back(std::move(row));
  }
  return table;
}

struct BarColumn {
  const char* variable;
  const char* name;
};

void add_bars(ReportSection& section, const ReportSource& source, BarChart chart, const std::string& name,
              const std::string& caption, const std::vector<BarColumn>& columns) {
  std::vector<const LayerInfo*> layers;
  for (const LayerInfo& layer : source.layers())
    if (std::any_of(columns.begin(), columns.end(),
                    [&](const BarColumn& c) { return source.reader().has(layer.group + "/" + c.variable); }))
      layers.push_back(&layer);
  for (const LayerInfo* layer : layers) chart.rows.push_back(layer->name);
  for (const BarColumn& column : columns) {
    BarSeries series{column.name, {}};
    for (const LayerInfo* layer : layers)
      series.values.push_back(source.estimate(layer->group + "/" + column.variable));
    const bool any =
        std::any_of(series.values.begin(), series.values.end(), [](const auto& e) { return e.points > 0; });
    if (any) chart.series.push_back(std::move(series));
  }
  bool spread = false;
  for (const BarSeries& series : chart.series)
    for (const Estimate& e : series.values) spread = spread || e.highest > e.lowest;
  std::string svg = draw(chart);
  if (svg.empty()) return;
  const std::string note =
      spread ? fmt::format(" Mean over {}; whiskers from the lowest to the highest.", over_text(source))
             : std::string();
  section.figures.push_back({name, caption + note, std::move(svg)});
}

/// Layers against the values of one axis.
void add_matrix(ReportSection& section, const ReportSource& source, const AxisView& axis, const char* variable,
                const std::string& what, const std::string& suffix) {
  HeatMap map{.title = fmt::format("{} by layer and {}", what, axis.name),
              .row_label = "layer",
              .column_label = axis.label,
              .value_label = "SQNR (dB)",
              .rows = {},
              .columns = axis.labels,
              .values = {},
              .scale = 1.0,
              .digits = 1};
  ReportTable table{identifier(fmt::format("sensitivity{}-{}", suffix, axis.name)),
                    fmt::format("{} (dB) by layer and {}.", what, axis.key.empty() ? axis.name : axis.key),
                    {"layer"},
                    {}};
  for (const std::string& label : axis.labels) table.headings.push_back(fmt::format("{} = {}", axis.name, label));
  for (const LayerInfo& layer : source.layers()) {
    const auto array = source.read(layer.group + "/" + variable);
    if (!array) continue;
    map.rows.push_back(layer.name);
    std::vector<ReportCell> row{text_cell(layer.name)};
    for (const Estimate& e : source.estimates(*array, {axis.name})) {
      map.values.push_back(e.mean);
      row.push_back(decibel_cell(e.mean));
    }
    table.rows.push_back(std::move(row));
  }
  std::string svg = draw(map);
  if (svg.empty()) return;
  section.figures.push_back(
      {table.name, table.caption + " Mean over everything else. Low values show which layer suffers.", std::move(svg)});
  section.tables.push_back(std::move(table));
}

}  // namespace

ReportSection layer_section(const ReportSource& source) {
  ReportSection section{"Layers", {}, {}, {}, {}};
  add_bars(
      section, source,
      {.title = "SQNR by layer", .rows = {}, .x_label = "SQNR (dB)", .series = {}, .scale = 1.0, .digits = 1},
      "layer-sqnr",
      "Signal to error power of each layer's output against float32: in the analog network, and alone with float32 "
      "inputs. Longer is better.",
      {{"sqnr_db", "in the network"}, {"sqnr_db_isolated", "alone"}});
  add_bars(
      section, source,
      {.title = "Clipping and saturation by layer",
       .rows = {},
       .x_label = "clipped or saturated values (%)",
       .series = {},
       .scale = 100.0,
       .digits = 2},
      "layer-clipping",
      "What is clipped: inputs beyond the input range, scaled inputs beyond the DAC, analog outputs beyond the ADC, "
      "products still saturated after bound management.",
      {{"input_clip_fraction", "input range"},
       {"dac_clip_fraction", "DAC"},
       {"adc_saturation_fraction", "ADC"},
       {"bound_management_failed_fraction", "bound management"}});
  add_bars(section, source,
           {.title = "Effective bits by layer",
            .rows = {},
            .x_label = "effective resolution (bit)",
            .series = {},
            .scale = 1.0,
            .digits = 1},
           "layer-bits", "Bits of the converters that the largest value uses.",
           {{"dac_effective_bits", "DAC"}, {"adc_effective_bits", "ADC"}});
  if (section.figures.empty()) section.notes.emplace_back("No statistics were recorded (output.record.statistics).");
  section.tables.push_back(layer_table(source));
  return section;
}

ReportSection sensitivity_section(const ReportSource& source) {
  ReportSection section{"Sensitivity of the layers", {}, {}, {}, {}};
  std::vector<AxisView> axes = source.swept();
  axes.push_back(source.times());
  for (const AxisView& axis : axes) {
    if (axis.size() < 2) continue;
    add_matrix(section, source, axis, "sqnr_db_isolated", "SQNR with float32 inputs", "-alone");
    add_matrix(section, source, axis, "sqnr_db", "SQNR in the analog network", "");
  }
  return section;
}

ReportSection device_section(const ReportSource& source) {
  ReportSection section{"Devices", {}, {}, {}, {}};
  constexpr std::size_t most_panels = 24;
  HistogramChart chart{"Conductances by layer", "conductance (µS)", {}};
  ReportTable table{"devices",
                    "Programming, means over chips and points.",
                    {"layer", "g max (µS)", "error mean (µS)", "error SD (µS)", "pulses", "unconverged", "stuck"},
                    {}};
  std::size_t layers = 0;
  for (const LayerInfo& layer : source.layers()) {
    const auto mean = [&](const char* name) { return source.estimate(layer.group + "/" + name).mean; };
    const double maximum = mean("conductance_max");
    if (std::isnan(maximum)) continue;
    table.rows.push_back({text_cell(layer.name), number_cell(maximum), number_cell(mean("programming_error_mean")),
                          number_cell(mean("programming_error_std")), number_cell(mean("programming_pulses")),
                          percent_cell(mean("unconverged_fraction")), percent_cell(mean("stuck_fraction"))});
    const auto programmed = source.read(layer.group + "/conductance_histogram");
    const auto target = source.read(layer.group + "/target_conductance_histogram");
    if (!programmed || !target || !(maximum > 0.0) || layers++ >= most_panels) continue;
    HistogramPanel panel{layer.name, maximum, {}, {}};
    for (const Estimate& e : source.estimates(*programmed, {"conductance"}))
      panel.programmed.push_back(std::isfinite(e.mean) ? e.mean : 0.0);
    for (const Estimate& e : source.estimates(*target, {"conductance"}))
      panel.target.push_back(std::isfinite(e.mean) ? e.mean : 0.0);
    chart.panels.push_back(std::move(panel));
  }
  if (table.rows.empty()) return section;
  section.tables.push_back(std::move(table));
  if (layers > most_panels)
    section.notes.push_back(fmt::format("Histograms of the first {} of {} layers.", most_panels, layers));
  if (std::string svg = draw(chart); !svg.empty())
    section.figures.push_back(
        {"conductances",
         "Devices by conductance, programmed and target, in percent of all devices of the layer on "
         "a logarithmic axis; values beyond an end count in the end bin. Mean over chips and points.",
         std::move(svg)});
  return section;
}

}  // namespace tessera::results
