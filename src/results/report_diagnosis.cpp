#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"
#include "results/report_sections.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/results/diagnosis_record.hpp"

namespace tessera::results {
namespace {

double mean_of(const std::vector<double>& values) {
  Moments moments;
  for (const double value : values)
    if (!std::isnan(value)) moments.add(value);
  return moments.count() > 0 ? moments.mean() : missing;
}

Estimate estimate_of(const DiagnosisRecord::Difference& difference) {
  Estimate estimate;
  estimate.mean = difference.mean;
  estimate.half = difference.half;
  estimate.lowest = difference.mean - difference.half;
  estimate.highest = difference.mean + difference.half;
  return estimate;
}

ReportSection costs(const DiagnosisRecord& record) {
  ReportSection section{"What each mechanism costs", {}, {}, {}, {}};
  section.notes.push_back(
      fmt::format("The ideal network deviates from float32 by {:.1e} of the largest output.", record.ideal_deviation));
  const double configured = mean_of(record.mechanisms.front().without.accuracy);
  if (std::isnan(configured))
    section.notes.emplace_back("The data has no labels: only errors are compared.");
  else
    section.notes.push_back(fmt::format("Accuracy {} as configured, {} in float32, on {} samples and {} {}.",
                                        percent_text(configured), percent_text(record.reference_accuracy),
                                        record.samples, record.chips, record.chips == 1 ? "chip" : "chips"));
  for (const std::string& warning : record.warnings) section.notes.push_back(warning);
  ReportTable table{"mechanisms",
                    "Accuracy with each mechanism alone in an ideal network, and without it in the network as "
                    "configured; cost and gain in percentage points, paired over chips.",
                    {"mechanism", "keys", "alone", "cost alone", "± 95 %", "without it", "gain without", "± 95 %",
                     "output SQNR alone (dB)"},
                    {}};
  BarChart chart{.title = "Accuracy by mechanism",
                 .rows = {},
                 .x_label = "percentage points of accuracy",
                 .series = {{"cost alone", {}}, {"gain without it", {}}},
                 .scale = 100.0,
                 .digits = 2};
  for (std::size_t m = 1; m < record.mechanisms.size(); ++m) {
    const MechanismRecord& mechanism = record.mechanisms[m];
    const DiagnosisRecord::Difference cost = record.cost_alone(m), gain = record.gain_without(m);
    table.rows.push_back({text_cell(mechanism.name), text_cell(mechanism.keys),
                          percent_cell(mean_of(mechanism.alone.accuracy)), points_cell(cost.mean),
                          points_cell(cost.half),
                          percent_cell(mechanism.removable ? mean_of(mechanism.without.accuracy) : missing),
                          points_cell(gain.mean), points_cell(gain.half),
                          decibel_cell(mechanism.alone.sqnr_db.empty() ? missing : mechanism.alone.sqnr_db.back())});
    chart.rows.push_back(mechanism.name);
    chart.series[0].values.push_back(estimate_of(cost));
    chart.series[1].values.push_back(estimate_of(gain));
  }
  if (std::string svg = draw(chart); !svg.empty())
    section.figures.push_back(
        {"mechanisms",
         "What each mechanism costs alone, and what leaving it out gains; whiskers: 95 % interval "
         "of the paired difference over chips.",
         std::move(svg)});
  section.tables.push_back(std::move(table));
  return section;
}

ReportSection layers(const DiagnosisRecord& record) {
  ReportSection section{"Layers by mechanism", {}, {}, {}, {}};
  HeatMap map{.title = "SQNR alone by layer and mechanism",
              .row_label = "layer",
              .column_label = "mechanism alone",
              .value_label = "SQNR (dB)",
              .rows = record.layers,
              .columns = {},
              .values = {}};
  ReportTable table{"mechanism-layers",
                    "SQNR (dB) of each layer fed with float32 inputs, by mechanism alone; all: as configured.",
                    {"layer"},
                    {}};
  for (std::size_t m = 1; m <= record.mechanisms.size(); ++m) {
    const bool all = m == record.mechanisms.size();
    map.columns.push_back(all ? "all" : record.mechanisms[m].name);
    table.headings.push_back(map.columns.back());
  }
  table.headings.insert(table.headings.end(), {"all, in the network", "inputs clipped", "ADC saturated"});
  const DiagnosisRun& configured = record.mechanisms.front().without;
  for (std::size_t l = 0; l < record.layers.size(); ++l) {
    std::vector<ReportCell> row{text_cell(record.layers[l])};
    for (std::size_t m = 1; m <= record.mechanisms.size(); ++m) {
      const DiagnosisRun& run = m == record.mechanisms.size() ? configured : record.mechanisms[m].alone;
      map.values.push_back(run.sqnr_db_isolated[l]);
      row.push_back(decibel_cell(run.sqnr_db_isolated[l]));
    }
    row.push_back(decibel_cell(configured.sqnr_db[l]));
    row.push_back(percent_cell(configured.input_clip_fraction[l]));
    row.push_back(percent_cell(configured.adc_saturation_fraction[l]));
    table.rows.push_back(std::move(row));
  }
  if (std::string svg = draw(map); !svg.empty())
    section.figures.push_back({"mechanism-layers", table.caption, std::move(svg)});
  section.tables.push_back(std::move(table));
  return section;
}

/// As `tessera doctor` prints it: the layers to look at, or to leave digital, first.
ReportSection ranking(const DiagnosisRecord& record) {
  ReportSection section{"Which layers cost most", {}, {}, {}, {}};
  ReportTable table{"layer-ranking",
                    "Each layer alone on tiles as configured, all others digital; what costs most at the output first. "
                    "Cost in percentage points, paired over chips.",
                    {"layer", "output SQNR (dB)", "accuracy", "cost", "± 95 %"},
                    {}};
  BarChart chart{.title = "Accuracy that each layer costs alone",
                 .rows = {},
                 .x_label = "percentage points of accuracy",
                 .series = {{"cost", {}}},
                 .scale = 100.0,
                 .digits = 2};
  for (const LayerCost& layer : record.ranking) {
    const std::string& name = record.layers[static_cast<std::size_t>(layer.layer)];
    const DiagnosisRecord::Difference cost = record.cost_of(layer);
    table.rows.push_back({text_cell(name), decibel_cell(layer.output_sqnr_db), percent_cell(mean_of(layer.accuracy)),
                          points_cell(cost.mean), points_cell(cost.half)});
    chart.rows.push_back(name);
    chart.series[0].values.push_back(estimate_of(cost));
  }
  if (std::string svg = draw(chart); !svg.empty())
    section.figures.push_back(
        {"layer-ranking", "What each layer costs alone; whiskers: 95 % interval of the paired difference over chips.",
         std::move(svg)});
  section.tables.push_back(std::move(table));
  return section;
}

}  // namespace

Report diagnosis_report(const DiagnosisRecord& record, const std::string& path) {
  Report report{file_name(path), path, {costs(record), layers(record)}};
  if (!record.ranking.empty()) report.sections.push_back(ranking(record));
  report.sections.push_back(provenance_section({{"file", path},
                                                {"command", record.command},
                                                {"seed", std::to_string(record.seed)},
                                                {"random layout", std::to_string(record.rng_layout)}},
                                               record.config_text, record.resolved_text));
  return report;
}

}  // namespace tessera::results
