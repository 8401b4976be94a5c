#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"
#include "results/report_markup.hpp"
#include "results/report_sections.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/results/search_record.hpp"

namespace tessera::results {
namespace {

std::string bits_text(double bits) {
  return bits >= 32.0 ? std::string("off") : fmt::format("{:.4g}", bits);
}

ReportCell bits_cell(double bits) {
  return {bits_text(bits), fmt::format("{}", bits), true};
}

bool is_perplexity(const SearchRecord& record) {
  return record.measure == "perplexity";
}

Moments accuracy_of(const SearchRecord& record, std::size_t point) {
  Moments moments;
  for (const double value : record.accuracy(point)) moments.add(value);
  return moments;
}

/// "Accuracy", "Perplexity".
std::string titled(const SearchRecord& record) {
  return is_perplexity(record) ? "Perplexity" : "Accuracy";
}

ReportCell quality_cell(const SearchRecord& record, double accuracy) {
  return is_perplexity(record) ? number_cell(shown_quality(record, accuracy)) : percent_cell(accuracy);
}

ReportCell loss_cell(const SearchRecord& record, double loss) {
  return is_perplexity(record) ? number_cell(shown_loss(record, loss), 3) : points_cell(loss);
}

/// Highest value of a chart of accuracies; perplexities have none.
double ceiling_of(const SearchRecord& record) {
  return is_perplexity(record) ? HUGE_VAL : 100.0;
}

std::string axis_of(const SearchRecord& record) {
  return is_perplexity(record) ? "perplexity" : "accuracy (%)";
}

std::string knob_name(const SearchRecord& record, const SearchKnobRecord& knob) {
  const std::string& layer = record.layers[static_cast<std::size_t>(knob.layer)];
  if (record.keys.size() == 1) return layer;
  const std::string& key = record.keys[static_cast<std::size_t>(knob.key)];
  return layer + " " + key.substr(key.rfind('.') + 1);
}

/// What is searched for, in a unit in which an inference has no powers of ten.
struct ShownCost {
  double scale = 1.0;
  std::string unit;  ///< with its name

  double operator()(double cost) const { return scale * cost; }
};

ShownCost shown_cost(const SearchRecord& record) {
  if (record.cost_unit == "energy (J)") return {1e9, "energy (nJ)"};
  if (record.cost_unit == "latency (s)") return {1e6, "latency (µs)"};
  if (record.cost_unit == "EDP (J s)") return {1e15, "EDP (nJ µs)"};
  return {1.0, record.cost_unit};
}

ReportSection summary(const SearchRecord& record) {
  ReportSection section{"What was found", {}, {}, {}, {}};
  const auto found = static_cast<std::size_t>(record.found);
  const SearchPointRecord& point = record.points[found];
  const double given = record.points.front().cost;
  const std::string unit = loss_unit(record);
  section.notes.push_back(fmt::format("{} {} (as given {}, float32 {}) on {} samples and {} {}.", titled(record),
                                      quality_text(record, accuracy_of(record, found).mean()),
                                      quality_text(record, accuracy_of(record, 0).mean()),
                                      quality_text(record, record.reference_accuracy), record.samples, record.chips,
                                      record.chips == 1 ? "chip" : "chips"));
  section.notes.push_back(found == 0
                              ? fmt::format("Nothing narrower is within the budget of {:.2f} {} at {:g} % confidence.",
                                            100.0 * record.budget, unit, 100.0 * record.confidence)
                              : fmt::format("Loss {:.2f} {}, below {:.2f} with {:g} % confidence (budget {:.2f}).",
                                            shown_loss(record, point.loss), unit, shown_loss(record, point.loss_bound),
                                            100.0 * record.confidence, 100.0 * record.budget));
  if (std::isfinite(record.confirmed_loss))
    section.notes.push_back(
        fmt::format("On samples that the search did not see: loss {:.2f} {}, below {:.2f} with {:g} % confidence.",
                    shown_loss(record, record.confirmed_loss), unit, shown_loss(record, record.confirmed_loss_bound),
                    100.0 * record.confidence));
  const ShownCost shown = shown_cost(record);
  section.notes.push_back(fmt::format("{}: {:g} instead of {:g} ({:.1f} % saved).", shown.unit, shown(point.cost),
                                      shown(given), 100.0 * (1.0 - point.cost / given)));
  if (record.energy_ratio > 0.0)
    section.notes.push_back(
        fmt::format("Energy {:.3g} [{:.3g}, {:.3g}] and area {:.3g} [{:.3g}, {:.3g}] times those of the configuration "
                    "as given, with "
                    "common coefficients and the activity measured in each.",
                    record.energy_ratio, record.energy_ratio_low, record.energy_ratio_high, record.area_ratio,
                    record.area_ratio_low, record.area_ratio_high));
  if (!record.complete) section.notes.emplace_back("The search was stopped: fewer bits may be possible.");

  ReportTable table{"bits", "Bits of every layer that was searched, as given and as found.", {}, {}};
  table.headings = {"layer", "key", "bits given", "bits found", "SQNR alone (dB)"};
  for (std::size_t k = 0; k < record.knobs.size(); ++k) {
    const SearchKnobRecord& knob = record.knobs[k];
    const auto rung = static_cast<std::size_t>(point.rungs[k]);
    table.rows.push_back({text_cell(record.layers[static_cast<std::size_t>(knob.layer)]),
                          text_cell(record.keys[static_cast<std::size_t>(knob.key)]), bits_cell(knob.bits.front()),
                          bits_cell(knob.bits[rung]),
                          decibel_cell(rung < knob.sqnr_db.size() ? knob.sqnr_db[rung] : missing)});
  }
  section.tables.push_back(std::move(table));
  return section;
}

/// A cost of hardware that every point has.
struct Hardware {
  const char* name;
  double SearchPointRecord::*value;
  double scale;
  const char* unit;
};
constexpr Hardware hardware_costs[] = {{"energy", &SearchPointRecord::energy, 1e9, "nJ"},
                                       {"area", &SearchPointRecord::area, 1.0, "mm²"},
                                       {"latency", &SearchPointRecord::latency, 1e6, "µs"}};

bool has_hardware_costs(const SearchRecord& record) {
  return record.points.front().energy > 0.0;
}

/// The same points over the costs that were not searched for: the front is that over accuracy, energy and area together.
void add_other_costs(ReportSection& section, const SearchRecord& record, double floor) {
  for (const Hardware& cost : hardware_costs) {
    if (record.cost_unit.starts_with(cost.name)) continue;
    ScatterChart chart{.title = fmt::format("{} against {}", titled(record), cost.name),
                       .x_label = fmt::format("{} ({})", cost.name, cost.unit),
                       .y_label = axis_of(record),
                       .series = {"front over all costs", "found", "as given", "others"},
                       .points = {},
                       .reference = missing,
                       .reference_name = {},
                       .ceiling = ceiling_of(record)};
    chart.floor = floor;
    chart.joined = false;
    for (std::size_t p = 0; p < record.points.size(); ++p) {
      const SearchPointRecord& point = record.points[p];
      const double accuracy = shown_quality(record, accuracy_of(record, p).mean());
      const bool is_found = static_cast<std::int64_t>(p) == record.found;
      const std::size_t series = is_found ? 1 : p == 0 ? 2 : point.front ? 0 : 3;
      chart.points.push_back({cost.scale * point.*cost.value, accuracy, missing, missing, series,
                              fmt::format("{:.4g} {}: {}", cost.scale * point.*cost.value, cost.unit,
                                          quality_text(record, accuracy_of(record, p).mean()))});
    }
    if (std::string svg = draw(chart); !svg.empty())
      section.figures.push_back(
          {fmt::format("pareto-{}", cost.name),
           fmt::format("The same configurations by {}. In the front no other is at least as good in "
                       "accuracy, energy and area and better in one.",
                       cost.name),
           std::move(svg)});
  }
}

ReportSection front(const SearchRecord& record) {
  ReportSection section{"Pareto front", {}, {}, {}, {}};
  const double given = accuracy_of(record, 0).mean();
  const ShownCost shown = shown_cost(record);
  ScatterChart chart{.title = fmt::format("{} against {}", titled(record), shown.unit),
                     .x_label = shown.unit,
                     .y_label = axis_of(record),
                     .series = {"Pareto front", "found", "as given", "others"},
                     .points = {},
                     .reference = is_perplexity(record) ? shown_quality(record, given) * (1.0 + record.budget)
                                                        : 100.0 * (given - record.budget),
                     .reference_name = "budget",
                     .ceiling = ceiling_of(record)};
  // What is far below the budget would press everything else together.
  if (!is_perplexity(record)) chart.floor = 100.0 * given - std::max(10.0 * 100.0 * record.budget, 5.0);
  ReportTable table{"search-points",
                    fmt::format("Every configuration, by {}. Loss against the configuration as given, {}, with its "
                                "two-sided interval and its one-sided bound ({:g} %).",
                                shown.unit, loss_unit(record), 100.0 * record.confidence),
                    {shown.unit, record.measure, "± 95 % over chips", "loss", "low", "high", "bound", "remark"},
                    {}};
  const bool hardware = has_hardware_costs(record);
  if (hardware) {
    for (const Hardware& cost : hardware_costs) table.headings.push_back(fmt::format("{} ({})", cost.name, cost.unit));
    table.headings.emplace_back("columns per converter");
  }
  for (const SearchKnobRecord& knob : record.knobs) table.headings.push_back(knob_name(record, knob));
  std::vector<std::size_t> order(record.points.size());
  for (std::size_t p = 0; p < order.size(); ++p) order[p] = p;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return record.points[a].cost < record.points[b].cost; });
  std::int64_t below = 0;
  for (const std::size_t p : order) {
    const SearchPointRecord& point = record.points[p];
    const Moments accuracy = accuracy_of(record, p);
    std::string bits;
    std::vector<ReportCell> row{number_cell(shown(point.cost), 8),
                                quality_cell(record, accuracy.mean()),
                                is_perplexity(record)
                                    ? number_cell(shown_quality(record, accuracy.mean()) * accuracy.confidence_95())
                                    : percent_cell(accuracy.confidence_95()),
                                loss_cell(record, point.loss),
                                loss_cell(record, p == 0 ? missing : point.loss_low),
                                loss_cell(record, p == 0 ? missing : point.loss_high),
                                loss_cell(record, p == 0 ? missing : point.loss_bound)};
    const bool is_found = static_cast<std::int64_t>(p) == record.found;
    std::string remark = point.within ? "within budget" : "over budget";
    if (p == 0) remark = is_found ? "as given, found" : "as given";
    if (p != 0 && is_found) remark = "found";
    if (point.front) remark += ", front";
    row.push_back(text_cell(remark));
    if (hardware) {
      for (const Hardware& cost : hardware_costs) row.push_back(number_cell(cost.scale * point.*cost.value));
      row.push_back(point.columns_per_converter > 0.0 ? number_cell(point.columns_per_converter)
                                                      : text_cell("as given"));
    }
    for (std::size_t k = 0; k < record.knobs.size(); ++k) {
      const double value = record.knobs[k].bits[static_cast<std::size_t>(point.rungs[k])];
      row.push_back(bits_cell(value));
      bits += (bits.empty() ? "" : " ") + bits_text(value);
    }
    table.rows.push_back(std::move(row));
    below += shown_quality(record, accuracy.mean()) < chart.floor ? 1 : 0;
    const auto add = [&](std::size_t series, bool interval) {
      ScatterPoint drawn{shown(point.cost),
                         shown_quality(record, accuracy.mean()),
                         missing,
                         missing,
                         series,
                         fmt::format("{:g} {}: {} (bits {})", shown(point.cost), shown.unit,
                                     quality_text(record, accuracy.mean()), bits)};
      if (interval && p != 0) {
        const double low = shown_quality(record, given - point.loss_high);
        const double high = shown_quality(record, given - point.loss_low);
        drawn.low = std::min(low, high);
        drawn.high = std::max(low, high);
      }
      chart.points.push_back(std::move(drawn));
    };
    if (point.front) add(0, !is_found);
    if (is_found)
      add(1, true);
    else if (p == 0)
      add(2, false);
    else if (!point.front)
      add(3, true);
  }
  std::string caption = fmt::format(
      "{} of every configuration against its cost; whiskers: {:g} % interval of the paired difference to the "
      "configuration as given.",
      titled(record), 100.0 * record.confidence);
  if (below > 0) caption += fmt::format(" {} configurations lie below and are in the table only.", below);
  if (std::string svg = draw(chart); !svg.empty())
    section.figures.push_back({"pareto", std::move(caption), std::move(svg)});
  if (hardware) add_other_costs(section, record, chart.floor);
  section.tables.push_back(std::move(table));
  return section;
}

ReportSection sensitivities(const SearchRecord& record) {
  ReportSection section{"Sensitivity of each layer alone", {}, {}, {}, {}};
  for (std::size_t key = 0; key < record.keys.size(); ++key) {
    std::vector<double> bits;
    for (const SearchKnobRecord& knob : record.knobs)
      if (static_cast<std::size_t>(knob.key) == key)
        for (const double value : knob.bits)
          if (std::find(bits.begin(), bits.end(), value) == bits.end()) bits.push_back(value);
    std::sort(bits.begin(), bits.end());
    HeatMap map{.title = "SQNR alone by layer and bits of " + record.keys[key],
                .row_label = "layer",
                .column_label = "bits of " + record.keys[key],
                .value_label = "SQNR (dB)",
                .rows = {},
                .columns = {},
                .values = {}};
    ReportTable table{
        fmt::format("search-sensitivity-{}", key),
        fmt::format("SQNR (dB) of each layer alone, fed with float32 inputs, by bits of {}.", record.keys[key]),
        {"layer"},
        {}};
    for (const double value : bits) {
      map.columns.push_back(bits_text(value));
      table.headings.push_back(bits_text(value));
    }
    for (const SearchKnobRecord& knob : record.knobs) {
      if (static_cast<std::size_t>(knob.key) != key || knob.sqnr_db.empty()) continue;
      map.rows.push_back(record.layers[static_cast<std::size_t>(knob.layer)]);
      std::vector<ReportCell> row{text_cell(map.rows.back())};
      for (const double value : bits) {
        const auto at = std::find(knob.bits.begin(), knob.bits.end(), value) - knob.bits.begin();
        const double sqnr = at < std::ssize(knob.bits) ? knob.sqnr_db[static_cast<std::size_t>(at)] : missing;
        map.values.push_back(sqnr);
        row.push_back(decibel_cell(sqnr));
      }
      table.rows.push_back(std::move(row));
    }
    if (table.rows.empty()) continue;
    if (std::string svg = draw(map); !svg.empty())
      section.figures.push_back({table.name, table.caption, std::move(svg)});
    section.tables.push_back(std::move(table));
  }
  return section;
}

}  // namespace

Report search_report(const SearchRecord& record, const std::string& path) {
  Report report{file_name(path), path, {}};
  report.sections = {summary(record), front(record)};
  if (ReportSection section = sensitivities(record); !section.tables.empty())
    report.sections.push_back(std::move(section));
  report.sections.push_back(provenance_section({{"file", path},
                                                {"command", record.command},
                                                {"seed", std::to_string(record.seed)},
                                                {"random layout", std::to_string(record.rng_layout)},
                                                {"task", record.task_id},
                                                {"complete", record.complete ? "yes" : "no"}},
                                               record.config_text, record.resolved_text));
  return report;
}

}  // namespace tessera::results
