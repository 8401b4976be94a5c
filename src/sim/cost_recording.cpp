#include "tessera/sim/cost_recording.hpp"

#include "tessera/cost/network_cost.hpp"
#include "tessera/cost/table_text.hpp"

namespace tessera::sim {

namespace {

const std::vector<std::string> action_names = {"vectors",         "tile_vectors", "dac_conversions", "row_pulses",
                                               "adc_conversions", "macs",         "buffer_bits",     "network_bits"};

std::vector<double> values_of(const cost::LayerActions& actions) {
  return {actions.vectors,         actions.tile_vectors, actions.dac_conversions, actions.row_pulses,
          actions.adc_conversions, actions.macs,         actions.buffer_bits,     actions.network_bits};
}

}  // namespace

void describe_costs(results::Header& header, const CostModel& model) {
  for (std::size_t i = 0; i < cost::energy_component_count; ++i)
    header.energy_components.emplace_back(cost::name_of(static_cast<cost::EnergyComponent>(i)));
  for (std::size_t i = 0; i < cost::area_component_count; ++i)
    header.area_components.emplace_back(cost::name_of(static_cast<cost::AreaComponent>(i)));
  header.actions = action_names;
  header.coefficients = cost::component_keys();
  header.normalised_costs = model.parameters.weight_bits.has_value();
  header.component_table = cost::table_csv(cost::component_table(model.parameters));
}

std::vector<LayerActivity> measured_activity(const EvaluationRequest& request, const PointResult& point) {
  std::vector<LayerActivity> activity;
  if (!request.counts_activity()) return activity;
  for (std::size_t l = 0; l < point.layers.size(); ++l) {
    LayerActivity& layer = activity.emplace_back();
    const LayerResult& seen = point.layers[l];
    if (!seen.analog) continue;
    const nn::LinearLayer& source = request.executor.layers()[l];
    const std::string& op = request.executor.graph().nodes[static_cast<std::size_t>(source.node)].op;
    const LayerParameters parameters = request.resolve(source.name, op);
    const cost::HardwareParameters hardware = request.cost->hardware(source.name, op);
    if (const auto& crossbar = parameters.rpu.crossbar) {
      if (seen.counts.dac_code_sum > 0) {
        layer.input_mean = seen.counts.mean_dac_code(cost::converter_codes(hardware, parameters.rpu).input);
        layer.bit_density = seen.counts.mean_dac_bits(crossbar->dac.magnitude_bits());
      }
      layer.conductance_mean = seen.conductance_mean;
      continue;
    }
    if (seen.counts.tile_vectors > 0) layer.rounds = std::max(1.0, seen.counts.mean_bound_management_rounds());
    const std::int64_t largest = cost::largest_code(parameters.rpu.forward.inp_res);
    if (seen.counts.dac_code_sum > 0 && largest > 0) {
      layer.input_mean = seen.counts.mean_dac_code(largest);
      layer.bit_density = seen.counts.mean_dac_bits(cost::code_bits(largest) - 1);
    }
    if (seen.conductance_mean)
      layer.conductance_mean =
          *seen.conductance_mean * (parameters.device ? 1.0 : static_cast<double>(hardware.array.devices) / 2.0);
  }
  return activity;
}

std::vector<LayerActivity> measure_activity(const EvaluationRequest& request, Parallel parallel,
                                            const Environment& environment) {
  if (!request.counts_activity()) return {};
  EvaluationRequest once = request;
  once.statistics = false;
  once.record_output.clear();
  once.evaluation.repeats = 1;
  once.evaluation.read_repeats = 1;
  if (!once.evaluation.times.empty()) once.evaluation.times = {once.evaluation.times.back()};
  Environment quiet = environment;
  quiet.progress = nullptr;
  const EvaluationResult result = evaluate(once, {}, parallel, quiet);
  return result.points.empty() ? std::vector<LayerActivity>{} : measured_activity(once, result.points.front());
}

results::CostRecord cost_record(const CostDescription& described, std::span<const LayerActivity> activity) {
  const cost::NetworkEstimate estimate = cost::network_estimate(described.design, described.table);
  const cost::NetworkCost& nominal = estimate.nominal;
  results::CostRecord record;
  record.energy = estimate.energy_J.nominal;
  record.energy_low = estimate.energy_J.low;
  record.energy_high = estimate.energy_J.high;
  record.latency = nominal.latency_s();
  record.latency_worst = nominal.worst_latency_ns * 1e-9;
  record.interval = nominal.interval_s();
  record.area = estimate.area_mm2.nominal;
  record.area_low = estimate.area_mm2.low;
  record.area_high = estimate.area_mm2.high;
  record.operations = nominal.operations;
  record.tops_per_W = estimate.tops_per_W.nominal;
  record.tops_per_W_low = estimate.tops_per_W.low;
  record.tops_per_W_high = estimate.tops_per_W.high;
  record.tops_per_mm2 = estimate.tops_per_mm2.nominal;
  record.tops_per_mm2_low = estimate.tops_per_mm2.low;
  record.tops_per_mm2_high = estimate.tops_per_mm2.high;
  if (const double bits = nominal.bits_of_operation(); bits > 0.0) {
    record.tops_per_W_1b = record.tops_per_W * bits;
    record.tops_per_W_8b = record.tops_per_W * bits / 64.0;
    record.tops_per_mm2_1b = record.tops_per_mm2 * bits;
    record.tops_per_mm2_8b = record.tops_per_mm2 * bits / 64.0;
  }
  record.energy_at_low = estimate.energy_ends_J.low;
  record.energy_at_high = estimate.energy_ends_J.high;
  record.area_at_low = estimate.area_ends_mm2.low;
  record.area_at_high = estimate.area_ends_mm2.high;
  for (std::size_t l = 0; l < nominal.layers.size(); ++l) {
    const cost::LayerCost& layer = nominal.layers[l];
    results::LayerCostRecord& made = record.layers.emplace_back();
    for (const double part : layer.energy_fJ.value) made.energy.push_back(part * 1e-15);
    for (const double part : layer.area_um2.value) made.area.push_back(part * 1e-6);
    made.energy_low = estimate.layer_energy_J[l].low;
    made.energy_high = estimate.layer_energy_J[l].high;
    made.actions = values_of(layer.actions);
    made.latency = layer.latency_ns * 1e-9;
    made.utilization = layer.utilization;
    if (activity.empty()) continue;
    made.input_mean = activity[l].input_mean.value_or(results::missing);
    made.bit_density = activity[l].bit_density.value_or(results::missing);
    made.conductance_mean = activity[l].conductance_mean.value_or(results::missing);
  }
  return record;
}

results::CostRecord cost_record(const EvaluationRequest& request, const PointResult& point) {
  const std::vector<LayerActivity> activity = measured_activity(request, point);
  const QuantizationParameters* quantization = request.quantization ? &*request.quantization : nullptr;
  return cost_record(describe_cost(request.executor, request.resolve, *request.cost, activity, quantization), activity);
}

}  // namespace tessera::sim
