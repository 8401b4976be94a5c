#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"
#include "results/report_sections.hpp"

namespace tessera::results {
namespace {

struct SiUnit {
  double scale;
  std::string name;
};

/// The unit in which the largest value reads 1 to 999.
SiUnit unit_for(double largest, const char* unit) {
  static constexpr const char* prefixes[] = {"f", "p", "n", "µ", "m", ""};
  if (!(largest > 0.0)) return {1.0, unit};
  const int index = std::clamp(static_cast<int>(std::floor(std::log10(largest) / 3.0)) + 5, 0, 5);
  return {std::pow(1000.0, 5 - index), fmt::format("{}{}", prefixes[index], unit)};
}

std::string interval_text(const ReportSource& source, const std::string& variable, const char* unit) {
  const Estimate nominal = source.estimate(variable);
  const SiUnit si = unit == std::string("J") ? unit_for(nominal.mean, unit) : SiUnit{1.0, unit};
  return fmt::format("{:.3g} {} [{:.3g}, {:.3g}]", si.scale * nominal.mean, si.name,
                     si.scale * source.estimate(variable + "_low").mean,
                     si.scale * source.estimate(variable + "_high").mean);
}

/// Means over all points of a variable along (..., `axis`) by layer; layers without it are left out.
struct ByLayer {
  std::vector<std::string> parts;
  std::vector<std::string> layers;
  std::vector<std::vector<double>> values;  ///< [part][layer]
};

ByLayer by_layer(const ReportSource& source, const std::string& variable, const std::string& axis) {
  ByLayer result;
  for (const LayerInfo& layer : source.layers()) {
    const std::string group = layer.group + "/cost/";
    const auto array = source.read(group + variable);
    if (!array) continue;
    if (result.parts.empty()) result.parts = source.reader().texts(group + axis);
    result.values.resize(result.parts.size());
    const std::vector<Estimate> means = source.estimates(*array, {axis});
    if (means.size() != result.parts.size()) continue;
    result.layers.push_back(layer.name);
    for (std::size_t p = 0; p < means.size(); ++p) result.values[p].push_back(means[p].mean);
  }
  return result;
}

double sum_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += std::isfinite(value) ? value : 0.0;
  return sum;
}

/// The parts by their sum; those beyond the colours, and what is small, are one.
std::vector<StackedSeries> stacked(const ByLayer& data) {
  constexpr std::size_t most = 7;
  constexpr double least = 0.005;
  std::vector<std::size_t> order;
  double whole = 0.0;
  for (std::size_t p = 0; p < data.parts.size(); ++p) {
    order.push_back(p);
    whole += sum_of(data.values[p]);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return sum_of(data.values[a]) > sum_of(data.values[b]); });
  std::vector<StackedSeries> series;
  StackedSeries others{"others", std::vector<double>(data.layers.size(), 0.0)};
  for (const std::size_t p : order) {
    if (series.size() < most && sum_of(data.values[p]) > least * whole) {
      series.push_back({data.parts[p], data.values[p]});
    } else {
      for (std::size_t l = 0; l < data.layers.size(); ++l)
        if (std::isfinite(data.values[p][l])) others.values[l] += data.values[p][l];
    }
  }
  if (sum_of(others.values) > 0.0) series.push_back(std::move(others));
  return series;
}

void add_stacked(ReportSection& section, const ByLayer& data, const std::string& what, const std::string& unit,
                 double scale, const std::string& caption) {
  StackedChart chart{fmt::format("{} by layer and component", what), data.layers, fmt::format("{} ({})", what, unit),
                     stacked(data), scale};
  if (std::string svg = draw(chart); !svg.empty())
    section.figures.push_back({fmt::format("cost-{}", what), caption, std::move(svg)});
}

ReportTable component_table(const ByLayer& data, const std::string& what, const std::string& unit, double scale) {
  ReportTable table{fmt::format("cost-{}-components", what),
                    fmt::format("{} ({}) by component and layer.", what, unit),
                    {"component", "all", "share"},
                    {}};
  for (const std::string& layer : data.layers) table.headings.push_back(layer);
  double whole = 0.0;
  for (const auto& part : data.values) whole += sum_of(part);
  for (std::size_t p = 0; p < data.parts.size(); ++p) {
    const double sum = sum_of(data.values[p]);
    if (sum == 0.0) continue;
    std::vector<ReportCell> row{text_cell(data.parts[p]), number_cell(scale * sum), percent_cell(sum / whole)};
    for (const double value : data.values[p]) row.push_back(number_cell(scale * value));
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// Accuracy against a cost, a point for every place of the swept axes.
void add_trade(ReportSection& section, const ReportSource& source, const std::string& variable, const char* name,
               const std::string& unit, double scale) {
  if (source.swept().empty()) return;
  const auto accuracy = source.read("accuracy");
  const auto cost = source.read("cost/" + variable);
  if (!accuracy || !cost) return;
  std::vector<std::string> axes;
  for (const AxisView& axis : source.swept()) axes.push_back(axis.name);
  const std::vector<Estimate> right = source.estimates(*accuracy, axes);
  const std::vector<Estimate> spent = source.estimates(*cost, axes);
  ScatterChart chart{.title = fmt::format("Accuracy against {}", name),
                     .x_label = fmt::format("{} ({})", name, unit),
                     .y_label = "accuracy (%)",
                     .series = {"front", "others"},
                     .points = {},
                     .reference = missing,
                     .reference_name = {},
                     .ceiling = 100.0};
  for (std::size_t p = 0; p < right.size(); ++p) {
    if (!std::isfinite(right[p].mean) || !std::isfinite(spent[p].mean)) continue;
    bool beaten = false;
    for (std::size_t q = 0; q < right.size(); ++q)
      beaten |= right[q].mean >= right[p].mean && spent[q].mean <= spent[p].mean &&
                (right[q].mean > right[p].mean || spent[q].mean < spent[p].mean);
    std::string place;
    std::size_t rest = p;
    for (std::size_t a = source.swept().size(); a-- > 0;) {
      const AxisView& axis = source.swept()[a];
      place = fmt::format("{} {}{}{}", axis.name, axis.labels[rest % axis.size()], place.empty() ? "" : ", ", place);
      rest /= axis.size();
    }
    const double y = 100.0 * right[p].mean, half = 100.0 * right[p].half;
    chart.points.push_back(
        {scale * spent[p].mean, y, y - half, y + half, beaten ? std::size_t{1} : std::size_t{0},
         fmt::format("{}: {} at {:.3g} {}", place, percent_text(right[p].mean), scale * spent[p].mean, unit)});
  }
  if (std::string svg = draw(chart); !svg.empty())
    section.figures.push_back({fmt::format("cost-trade-{}", name),
                               fmt::format("Accuracy of every point against its {}; the joined ones are beaten by no "
                                           "other in both. Whiskers: 95 % interval over chips.",
                                           name),
                               std::move(svg)});
}

}  // namespace

ReportSection cost_section(const ReportSource& source) {
  ReportSection section{"Energy, latency and area", {}, {}, {}, {}};
  if (!source.reader().has("cost/energy")) return section;
  const ByLayer energy = by_layer(source, "energy", "component");
  const ByLayer area = by_layer(source, "area", "area_component");
  double largest = 0.0;
  for (std::size_t l = 0; l < energy.layers.size(); ++l) {
    double sum = 0.0;
    for (const auto& part : energy.values) sum += std::isfinite(part[l]) ? part[l] : 0.0;
    largest = std::max(largest, sum);
  }
  const SiUnit joule = unit_for(largest, "J");
  const SiUnit second = unit_for(source.estimate("cost/latency").mean, "s");
  const char* const over = source.swept().empty() ? "" : ", mean over all points";
  section.notes.push_back(fmt::format("One inference: {}, {:.3g} {} (one every {:.3g} {}), {}{}.",
                                      interval_text(source, "cost/energy", "J"),
                                      second.scale * source.estimate("cost/latency").mean, second.name,
                                      second.scale * source.estimate("cost/interval").mean, second.name,
                                      interval_text(source, "cost/area", "mm2"), over));
  section.notes.push_back(fmt::format("{}; {}.", interval_text(source, "cost/tops_per_W", "TOPS/W"),
                                      interval_text(source, "cost/tops_per_mm2", "TOPS/mm2")));
  section.notes.emplace_back(
      "In brackets: the interval that the component table leaves, each coefficient on its own between its ends. Good "
      "for comparing configurations and for orders of magnitude (docs/models/cost.md).");
  add_stacked(section, energy, "energy", joule.name, joule.scale, "Where the energy of one inference goes.");
  add_stacked(section, area, "area", "mm²", 1.0, "What the area is built of.");
  add_trade(section, source, "energy", "energy", joule.name, joule.scale);
  add_trade(section, source, "area", "area", "mm²", 1.0);
  section.tables.push_back(component_table(energy, "energy", joule.name, joule.scale));
  section.tables.push_back(component_table(area, "area", "mm²", 1.0));
  return section;
}

}  // namespace tessera::results
