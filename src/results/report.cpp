#include "tessera/results/report.hpp"

#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"
#include "results/report_sections.hpp"

namespace tessera::results {
namespace {

/// Accuracy at the first time, over everything else.
Estimate overall_accuracy(const ReportSource& source) {
  const auto accuracy = source.read("/accuracy");
  if (!accuracy) return {};
  return source.estimates(select(*accuracy, "time", 0), {}).front();
}

ReportSection accuracy_by_file(const std::vector<ReportSource>& sources, const std::vector<std::string>& names) {
  ReportSection section{"Comparison", {}, {}, {}, {}};
  ReportTable table{"comparison",
                    "Accuracy by file at the first time, mean over all points of the file.",
                    {"file", "accuracy", "± 95 %", "lowest", "highest", "float32", "points", "seed"},
                    {}};
  BarChart chart{.title = "Accuracy by file",
                 .rows = names,
                 .x_label = "accuracy (%)",
                 .series = {{"analog", {}}, {"float32", {}}},
                 .scale = 100.0,
                 .digits = 2};
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const Estimate accuracy = overall_accuracy(sources[i]);
    const Estimate reference = sources[i].estimate("/reference/accuracy");
    chart.series[0].values.push_back(accuracy);
    chart.series[1].values.push_back(reference);
    const std::uint64_t seed = sources[i].reader().seed();
    table.rows.push_back({text_cell(names[i]),
                          percent_cell(accuracy.mean),
                          percent_cell(accuracy.half),
                          percent_cell(accuracy.lowest),
                          percent_cell(accuracy.highest),
                          percent_cell(reference.mean),
                          count_cell(accuracy.points),
                          {std::to_string(seed), std::to_string(seed), true}});
  }
  if (std::string svg = draw(chart); !svg.empty())
    section.figures.push_back({"comparison",
                               "Accuracy by file at the first time, mean over all points; whiskers from the "
                               "lowest to the highest point.",
                               std::move(svg)});
  section.tables.push_back(std::move(table));
  return section;
}

ReportSection layers_by_file(const std::vector<ReportSource>& sources, const std::vector<std::string>& names) {
  ReportSection section{"Layers by file", {}, {}, {}, {}};
  std::vector<std::string> layers;
  for (const ReportSource& source : sources)
    for (const LayerInfo& layer : source.layers())
      if (std::find(layers.begin(), layers.end(), layer.name) == layers.end()) layers.push_back(layer.name);
  HeatMap map{.title = "SQNR by layer and file",
              .row_label = "layer",
              .column_label = "file",
              .value_label = "SQNR (dB)",
              .rows = layers,
              .columns = names,
              .values = {},
              .scale = 1.0,
              .digits = 1};
  ReportTable table{
      "comparison-layers", "SQNR (dB) in the network by layer and file, mean over all points.", {"layer"}, {}};
  table.headings.insert(table.headings.end(), names.begin(), names.end());
  for (const std::string& name : layers) {
    std::vector<ReportCell> row{text_cell(name)};
    for (const ReportSource& source : sources) {
      double value = missing;
      for (const LayerInfo& layer : source.layers())
        if (layer.name == name) value = source.estimate(layer.group + "/sqnr_db").mean;
      map.values.push_back(value);
      row.push_back(decibel_cell(value));
    }
    table.rows.push_back(std::move(row));
  }
  if (std::string svg = draw(map); !svg.empty()) {
    section.figures.push_back({"comparison-layers", table.caption, std::move(svg)});
    section.tables.push_back(std::move(table));
  }
  return section;
}

std::string runtime_text(const Reader& reader, const char* name) {
  const std::string variable = std::string("/runtime/") + name;
  if (!reader.has(variable)) return "";
  const std::vector<double> values = reader.read(variable).values;
  return values.size() == 1 && std::isfinite(values[0]) ? fmt::format("{:.4g}", values[0]) : "";
}

}  // namespace

std::string file_name(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

ReportSection provenance_section(const std::vector<std::pair<std::string, std::string>>& rows,
                                 const std::string& config_text, const std::string& resolved_text) {
  ReportSection section{"Provenance and configuration", {}, {}, {}, {}};
  ReportTable made{"provenance", "How the file was made.", {"", ""}, {}};
  for (const auto& [name, value] : rows)
    if (!value.empty()) made.rows.push_back({text_cell(name), text_cell(value)});
  section.tables.push_back(std::move(made));
  section.texts.push_back({"Configuration as given", config_text});
  section.texts.push_back({"Configuration with every key", resolved_text});
  return section;
}

ReportSection provenance_section(const ReportSource& source) {
  const Reader& reader = source.reader();
  ReportSection section = provenance_section({{"file", reader.path()},
                                              {"written by", "tessera " + reader.tessera_version()},
                                              {"begun (UTC)", reader.created_utc()},
                                              {"command", reader.command()},
                                              {"seed", std::to_string(reader.seed())},
                                              {"random layout", std::to_string(reader.rng_layout())},
                                              {"task", reader.task_id()},
                                              {"complete", reader.complete() ? "yes" : "no"},
                                              {"wall time (s)", runtime_text(reader, "wall_time")},
                                              {"threads", runtime_text(reader, "threads")}},
                                             reader.config_text(), reader.resolved_text());

  ReportTable axes{"axes", "Axes of a point.", {"axis", "length", "values", "configuration key"}, {}};
  std::vector<AxisView> views = source.swept();
  views.push_back(source.times());
  for (const AxisView& axis : views) {
    std::string values;
    for (const std::string& label : axis.labels) values += (values.empty() ? "" : ", ") + label;
    axes.rows.push_back({text_cell(axis.name), count_cell(static_cast<std::int64_t>(axis.size())), text_cell(values),
                         text_cell(axis.key)});
  }
  axes.rows.push_back({text_cell("repeat"), count_cell(reader.axes().back().size()),
                       text_cell(fmt::format("{} {}", source.chips(), source.unit())),
                       text_cell("evaluation.repeats")});
  section.tables.push_back(std::move(axes));
  return section;
}

Report make_report(const Reader& reader) {
  const ReportSource source(reader);
  Report report{file_name(reader.path()), reader.path(), {}};
  for (const auto& make :
       {summary_section, accuracy_section, task_section, layer_section, sensitivity_section, crossbar_section,
        cost_section, device_section, static_cast<ReportSection (*)(const ReportSource&)>(provenance_section)}) {
    ReportSection section = make(source);
    if (!section.notes.empty() || !section.figures.empty() || !section.tables.empty() || !section.texts.empty())
      report.sections.push_back(std::move(section));
  }
  return report;
}

Report compare_reports(std::span<const Reader> readers) {
  Report report{"Comparison", "", {}};
  if (readers.size() < 2) return report;
  std::vector<ReportSource> sources;
  std::vector<std::string> names;
  for (const Reader& reader : readers) {
    sources.emplace_back(reader);
    std::string name = file_name(reader.path());
    const auto same = std::count_if(readers.begin(), readers.end(),
                                    [&](const Reader& other) { return file_name(other.path()) == name; });
    names.push_back(same > 1 ? reader.path() : name);
  }
  report.sections.push_back(accuracy_by_file(sources, names));
  if (ReportSection layers = layers_by_file(sources, names); !layers.figures.empty())
    report.sections.push_back(std::move(layers));
  return report;
}

}  // namespace tessera::results
