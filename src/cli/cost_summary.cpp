#include "cli/cost_summary.hpp"

#include <cmath>

#include "cli/text_table.hpp"
#include "tessera/core/format.hpp"
#include "tessera/cost/network_cost.hpp"

namespace tessera::cli {

namespace {

std::string interval_text(double low, double nominal, double high, const char* unit) {
  return fmt::format("{} [{}, {}]", format_si(nominal, unit), format_si(low, unit), format_si(high, unit));
}

std::string number_interval(double low, double nominal, double high, const char* unit) {
  return fmt::format("{:.3g} [{:.3g}, {:.3g}] {}", nominal, low, high, unit);
}

std::string share_text(double part, double whole) {
  return whole > 0.0 && part > 0.0 ? format_percent(part / whole, 1) : "";
}

void print_layers(std::ostream& out, const app::CostEstimate& estimate) {
  const cost::NetworkCost cost = cost::network_cost(estimate.description.design, estimate.description.table.nominal());
  TextTable table;
  table.add_column("layer", TextTable::Align::left);
  for (const char* heading : {"tiles", "filled", "vectors", "MACs", "energy", "share", "latency", "area mm2"})
    table.add_column(heading);
  for (std::size_t l = 0; l < cost.layers.size(); ++l) {
    const cost::LayerCost& layer = cost.layers[l];
    const bool analog = layer.tiles > 0;
    table.add_row({estimate.description.design.layers[l].name, analog ? format_count(layer.tiles) : "digital",
                   analog ? format_percent(layer.utilization, 1) : "",
                   format_count(std::llround(layer.actions.vectors)), format_count(std::llround(layer.actions.macs)),
                   format_si(layer.energy_fJ.total() * 1e-15, "J"),
                   share_text(layer.energy_fJ.total(), cost.energy_fJ.total()), format_si(layer.latency_ns * 1e-9, "s"),
                   analog ? fmt::format("{:.4g}", layer.area_um2.total() * 1e-6) : ""});
  }
  out << table.text() << "\n";
}

/// Components as rows, layers as columns while they fit a line.
void print_components(std::ostream& out, const app::CostEstimate& estimate) {
  constexpr std::size_t most_layers = 8;
  const cost::NetworkCost cost = cost::network_cost(estimate.description.design, estimate.description.table.nominal());
  const bool by_layer = cost.layers.size() <= most_layers;
  TextTable table;
  table.add_column("component", TextTable::Align::left);
  for (const char* heading : {"energy", "share"}) table.add_column(heading);
  if (by_layer)
    for (const cost::LayerDesign& layer : estimate.description.design.layers) table.add_column(layer.name);
  for (std::size_t c = 0; c < cost::energy_component_count; ++c) {
    const double sum = cost.energy_fJ.value[c];
    if (sum == 0.0) continue;
    std::vector<std::string> row{std::string(cost::name_of(static_cast<cost::EnergyComponent>(c))),
                                 format_si(sum * 1e-15, "J"), share_text(sum, cost.energy_fJ.total())};
    if (by_layer)
      for (const cost::LayerCost& layer : cost.layers)
        row.push_back(share_text(layer.energy_fJ.value[c], layer.energy_fJ.total()));
    table.add_row(std::move(row));
  }
  out << table.text() << "\n";
  TextTable area;
  area.add_column("component", TextTable::Align::left);
  for (const char* heading : {"area mm2", "share"}) area.add_column(heading);
  for (std::size_t c = 0; c < cost::area_component_count; ++c) {
    const double sum = cost.area_um2.value[c];
    if (sum == 0.0) continue;
    area.add_row({std::string(cost::name_of(static_cast<cost::AreaComponent>(c))), fmt::format("{:.4g}", sum * 1e-6),
                  share_text(sum, cost.area_um2.total())});
  }
  if (cost.area_um2.total() > 0.0) out << area.text() << "\n";
}

}  // namespace

std::string format_si(double value, const char* unit) {
  static constexpr const char* prefixes[] = {"f", "p", "n", "µ", "m", "", "k"};
  if (!(std::fabs(value) > 0.0)) return fmt::format("0 {}", unit);
  const int exponent = static_cast<int>(std::floor(std::log10(std::fabs(value)) / 3.0));
  const int index = std::min(std::max(exponent + 5, 0), 6);
  return fmt::format("{:.3g} {}{}", value * std::pow(1000.0, 5 - index), prefixes[index], unit);
}

void print_cost_summary(std::ostream& out, const app::CostEstimate& estimate) {
  const std::string& name = estimate.config.name;
  const results::CostRecord& cost = estimate.record;
  out << name << ": what one inference costs (nominal [interval of the component table])\n\n";
  print_layers(out, estimate);
  print_components(out, estimate);
  out << "  energy       " << interval_text(cost.energy_low, cost.energy, cost.energy_high, "J") << "\n";
  out << "  latency      " << format_si(cost.latency, "s");
  if (cost.latency_worst > cost.latency * 1.0001)
    out << " (worst vectors: " << format_si(cost.latency_worst, "s") << ")";
  out << "; one inference every " << format_si(cost.interval, "s") << "\n";
  out << "  area         " << number_interval(cost.area_low, cost.area, cost.area_high, "mm2") << "\n";
  out << "  efficiency   " << number_interval(cost.tops_per_W_low, cost.tops_per_W, cost.tops_per_W_high, "TOPS/W")
      << ", " << number_interval(cost.tops_per_mm2_low, cost.tops_per_mm2, cost.tops_per_mm2_high, "TOPS/mm2") << "\n";
  if (std::isfinite(cost.tops_per_W_1b))
    out << fmt::format(
        "  by bits      {:.3g} TOPS/W and {:.3g} TOPS/mm2 of 1 x 1 bit; {:.3g} and {:.3g} of 8 x 8 bits\n",
        cost.tops_per_W_1b, cost.tops_per_mm2_1b, cost.tops_per_W_8b, cost.tops_per_mm2_8b);
  out << "  EDP          " << format_si(cost.energy * cost.latency, "Js") << "\n";
  if (estimate.programming.energy_J > 0.0) {
    out << "  programming  " << format_si(estimate.programming.energy_J, "J") << " and "
        << format_si(estimate.programming.time_s, "s") << " once";
    if (estimate.programming.per_inference_J > 0.0)
      out << "; " << format_si(estimate.programming.per_inference_J, "J") << " per inference, not in the energy above";
    out << "\n";
  }
  if (estimate.calibration_J_per_day > 0.0)
    out << "  calibration  " << format_si(estimate.calibration_J_per_day, "J") << " per day\n";
  for (const std::string& note : estimate.notes) out << "  " << note << "\n";
}

}  // namespace tessera::cli
