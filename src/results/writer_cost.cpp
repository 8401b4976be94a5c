#include "results/writer_impl.hpp"

// Energy, latency and area of a point.
namespace tessera::results {

void Writer::Impl::put_cost(const Shape& at, const CostRecord& cost) {
  require<RunError>(cost.layers.size() == header.layers.size(), "a point has costs of {} layers, not {}",
                    cost.layers.size(), header.layers.size());
  const std::string group = "/cost";
  const Shape swept(at.begin(), at.end() - 2);  // without time and repeat
  put(group, "energy", at, cost.energy);
  put(group, "energy_low", at, cost.energy_low);
  put(group, "energy_high", at, cost.energy_high);
  put(group, "latency", at, cost.latency);
  put(group, "latency_worst", at, cost.latency_worst);
  put(group, "interval", at, cost.interval);
  put(group, "tops_per_W", at, cost.tops_per_W);
  put(group, "tops_per_W_low", at, cost.tops_per_W_low);
  put(group, "tops_per_W_high", at, cost.tops_per_W_high);
  put(group, "tops_per_mm2", at, cost.tops_per_mm2);
  put(group, "tops_per_mm2_low", at, cost.tops_per_mm2_low);
  put(group, "tops_per_mm2_high", at, cost.tops_per_mm2_high);
  if (header.normalised_costs) {
    put(group, "tops_per_W_1b", at, cost.tops_per_W_1b);
    put(group, "tops_per_W_8b", at, cost.tops_per_W_8b);
    put(group, "tops_per_mm2_1b", at, cost.tops_per_mm2_1b);
    put(group, "tops_per_mm2_8b", at, cost.tops_per_mm2_8b);
  }
  for (const auto* ends : {&cost.energy_at_low, &cost.energy_at_high, &cost.area_at_low, &cost.area_at_high})
    require<RunError>(ends->size() == header.coefficients.size(),
                      "a point has costs at the ends of {} coefficients, not {}", ends->size(),
                      header.coefficients.size());
  put(group, "energy_at_low", at, cost.energy_at_low);
  put(group, "energy_at_high", at, cost.energy_at_high);
  put(group, "area_at_low", swept, cost.area_at_low);
  put(group, "area_at_high", swept, cost.area_at_high);
  put(group, "area", swept, cost.area);
  put(group, "area_low", swept, cost.area_low);
  put(group, "area_high", swept, cost.area_high);
  put(group, "operations", swept, cost.operations);
  for (std::size_t i = 0; i < cost.layers.size(); ++i) put_layer_cost(i, at, swept, cost.layers[i]);
}

void Writer::Impl::put_layer_cost(std::size_t i, const Shape& at, const Shape& swept, const LayerCostRecord& layer) {
  const std::string group = layer_groups[i] + "/cost";
  const auto expect = [&](const std::vector<double>& values, const std::vector<std::string>& names) {
    require<RunError>(values.size() == names.size(), "layer '{}' has {} costs for {} components", header.layers[i].name,
                      values.size(), names.size());
  };
  expect(layer.energy, header.energy_components);
  expect(layer.actions, header.actions);
  put(group, "energy", at, layer.energy);
  put(group, "energy_low", at, layer.energy_low);
  put(group, "energy_high", at, layer.energy_high);
  put(group, "latency", at, layer.latency);
  put(group, "actions", at, layer.actions);
  if (!header.layers[i].analog) return;
  expect(layer.area, header.area_components);
  put(group, "area", swept, layer.area);
  put(group, "utilization", swept, layer.utilization);
  put(group, "input_mean", at, layer.input_mean);
  put(group, "bit_density", at, layer.bit_density);
  put(group, "conductance_mean", at, layer.conductance_mean);
}

void Writer::write_relative_energy(const PointIndex& index, const RelativeCost& energy) {
  const Shape at = impl_->place(index);
  impl_->put("/cost", "energy_relative", at, energy.nominal);
  impl_->put("/cost", "energy_relative_low", at, energy.low);
  impl_->put("/cost", "energy_relative_high", at, energy.high);
}

void Writer::write_relative_area(const std::vector<std::int64_t>& swept, const RelativeCost& area) {
  const Shape at = impl_->swept_place(swept);
  impl_->put("/cost", "area_relative", at, area.nominal);
  impl_->put("/cost", "area_relative_low", at, area.low);
  impl_->put("/cost", "area_relative_high", at, area.high);
}

}  // namespace tessera::results
