#include <algorithm>
#include <cmath>

#include "cli/inspect.hpp"
#include "cli/text_table.hpp"
#include "tessera/core/format.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/results/layer_statistics.hpp"
#include "tessera/results/reader.hpp"

namespace tessera::cli {

namespace {

/// Mean over everything that is there; NaN if nothing is.
double mean_of(const results::Reader& reader, const std::string& variable) {
  if (!reader.has(variable)) return results::missing;
  Moments moments;
  for (const double value : reader.read(variable).values)
    if (!std::isnan(value)) moments.add(value);
  return moments.mean();
}

std::string values_text(const results::Axis& axis) {
  const auto join = [](const auto& list) {
    constexpr std::size_t most = 8;
    std::string text;
    for (std::size_t i = 0; i < std::min(most, list.size()); ++i) text += fmt::format("{}{}", i ? ", " : "", list[i]);
    return list.size() > most ? text + fmt::format(", ... {}", list.back()) : text;
  };
  return std::visit(join, axis.values);
}

constexpr const char* layer_columns[] = {"sqnr_db", "sqnr_db_isolated", "input_clip_fraction",
                                         "adc_saturation_fraction", "adc_effective_bits"};

std::string statistic_text(const results::LayerStatistic& statistic, double value) {
  if (statistic.format == results::StatisticFormat::decibel) return format_decibel(value);
  if (statistic.format == results::StatisticFormat::fraction) return format_percent(value);
  return std::isnan(value) ? "-" : fmt::format("{:.1f}", value);
}

void print_layers(const results::Reader& reader, std::ostream& out) {
  TextTable table;
  for (const char* heading : {"layer", "kind"}) table.add_column(heading, TextTable::Align::left);
  for (const char* heading : {"vector in", "out"}) table.add_column(heading);
  for (const char* name : layer_columns) table.add_column(std::string(results::layer_statistic(name).heading));
  const std::vector<results::LayerInfo> layers = reader.layers();
  const bool crossbars = std::any_of(layers.begin(), layers.end(), [&](const results::LayerInfo& layer) {
    return reader.has(layer.group + "/crossbar_arrays");
  });
  if (crossbars)
    for (const char* heading : {"slices", "arrays", "converters", "wires alone dB", "codes used"})
      table.add_column(heading);
  for (const results::LayerInfo& layer : layers) {
    const auto mean = [&](const char* name) { return mean_of(reader, layer.group + "/" + name); };
    std::vector<std::string> row{layer.name, layer.op + (layer.analog ? "" : " (digital)"), format_count(layer.inputs),
                                 format_count(layer.outputs)};
    for (const char* name : layer_columns) row.push_back(statistic_text(results::layer_statistic(name), mean(name)));
    if (crossbars) {
      const auto count = [&](const char* name) {
        const double value = mean(name);
        return value > 0.0 ? fmt::format("{:.0f}", value) : "-";
      };
      const std::string slices = layer.group + "/slice_codes_used";
      row.insert(row.end(), {reader.has(slices) ? fmt::format("{}", reader.read(slices).shape.back()) : "-",
                             count("crossbar_arrays"), count("crossbar_converters"), format_decibel(mean("ir_drop_db")),
                             format_percent(mean("slice_codes_used"))});
    }
    table.add_row(row);
  }
  out << table.text();
  std::int64_t points = 1;
  for (const results::Axis& axis : reader.axes()) points *= axis.size();
  if (points > 1) out << "  means over all points: swept values, times and repeats\n";
}

}  // namespace

void inspect_results(const std::string& path, std::ostream& out) {
  const results::Reader reader(path);
  out << path << ": results of tessera " << reader.tessera_version() << ", " << reader.created_utc()
      << (reader.complete() ? "" : ", INCOMPLETE") << "\n";
  if (const std::string note = reader.version_note(); !note.empty()) out << "  note: " << note << "\n";
  out << "  command  " << reader.command() << "\n  seed     " << reader.seed() << "\n  task     " << reader.task_id()
      << "\n\n";
  TextTable axes;
  axes.add_column("axis", TextTable::Align::left);
  axes.add_column("length");
  axes.add_column("unit", TextTable::Align::left);
  axes.add_column("values", TextTable::Align::left);
  for (const results::Axis& axis : reader.axes())
    axes.add_row({axis.name, format_count(axis.size()), axis.units, values_text(axis)});
  out << axes.text() << "\n";
  if (reader.has("/accuracy"))
    out << "  accuracy " << format_percent(mean_of(reader, "/accuracy")) << " (mean over all points), float32 "
        << format_percent(mean_of(reader, "/reference/accuracy")) << "\n\n";
  for (const auto& [variable, name] : {std::pair{"/agreement", "same largest output as float32"},
                                       std::pair{"/kl_divergence", "KL divergence from float32 (nat)"},
                                       std::pair{"/output_cosine", "cosine to float32"}})
    if (reader.has(variable))
      out << fmt::format("  {} {:.5g} (mean over all points)\n", name, mean_of(reader, variable));
  if (reader.has("/perplexity"))
    out << fmt::format("  perplexity {:.5g} (mean over all points), float32 {:.5g}\n", mean_of(reader, "/perplexity"),
                       mean_of(reader, "/reference/perplexity"));
  if (reader.has("/agreement")) out << "\n";
  for (const auto& [variable, name] :
       {std::pair{"/mse", "mean squared error"}, std::pair{"/auc", "area under the ROC curve"}})
    if (reader.has(variable))
      out << fmt::format("  {} {:.5g} (mean over all points), float32 {:.5g}\n\n", name, mean_of(reader, variable),
                         mean_of(reader, std::string("/reference") + variable));
  print_layers(reader, out);
  out << "\n  " << reader.variables().size() << " variables; in Python: xarray.open_dataset(\"" << path
      << "\", engine=\"h5netcdf\")\n";
}

}  // namespace tessera::cli
