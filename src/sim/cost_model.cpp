#include "tessera/sim/cost_model.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "tessera/core/error.hpp"
#include "tessera/cost/technology.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::sim {

namespace {

double count_of(const Shape& shape) {
  return static_cast<double>(element_count(shape));
}

std::vector<Problem> with_prefix(const ConfigError& error) {
  std::vector<Problem> problems = error.problems();
  for (Problem& problem : problems)
    if (!problem.key.starts_with("rpu_config") && !problem.key.starts_with("cost")) problem.key = "cost." + problem.key;
  return problems;
}

class Describer {
 public:
  Describer(const nn::Executor& executor, const NetworkFacts& facts, const LayerResolver& resolve,
            const CostModel& model, std::span<const LayerActivity> activity, const QuantizationParameters* quantization)
      : executor_(executor), facts_(facts), model_(model), activity_(activity), quantization_(quantization) {
    for (const nn::LinearLayer& layer : executor.layers()) {
      parameters_.push_back(resolve(layer.name, op_of(layer)));
      hardware_.push_back(model.hardware(layer.name, op_of(layer)));
    }
  }

  CostDescription describe() {
    CostDescription result;
    result.table = cost::component_table(model_.parameters);
    const cost::CostParameters& parameters = model_.parameters;
    result.design.pipeline = parameters.pipeline;
    result.design.gated = parameters.gated;
    result.design.energy_calibration = parameters.calibration.energy;
    result.design.area_calibration = parameters.calibration.area;
    std::vector<Problem> problems;
    for (std::size_t l = 0; l < executor_.layers().size(); ++l) {
      try {
        result.design.layers.push_back(layer(l));
        const auto copied = model_.copies.find(executor_.layers()[l].name);
        if (copied != model_.copies.end()) result.design.layers.back().copies = copied->second;
      } catch (const ConfigError& error) {
        for (Problem problem : with_prefix(error)) {
          problem.message += fmt::format(" (layer '{}')", executor_.layers()[l].name);
          problems.push_back(std::move(problem));
        }
      }
    }
    if (!problems.empty()) throw ConfigError(unique(std::move(problems)));
    try {
      result.design = cost::prepared(std::move(result.design), result.table);
    } catch (const ConfigError& error) {
      throw ConfigError(with_prefix(error));
    }
    return result;
  }

 private:
  const std::string& op_of(const nn::LinearLayer& layer) const {
    return executor_.graph().nodes[static_cast<std::size_t>(layer.node)].op;
  }

  /// The same problem in many layers is one: the first layer stands for all.
  static std::vector<Problem> unique(std::vector<Problem> problems) {
    std::map<std::string, std::size_t> seen;
    std::vector<Problem> result;
    std::vector<std::size_t> more;
    for (Problem& problem : problems) {
      const std::string id = problem.key + problem.message.substr(0, problem.message.rfind(" (layer"));
      if (const auto found = seen.find(id); found != seen.end()) {
        ++more[found->second];
        continue;
      }
      seen.emplace(id, result.size());
      result.push_back(std::move(problem));
      more.push_back(0);
    }
    for (std::size_t i = 0; i < result.size(); ++i)
      if (more[i] > 0) result[i].message += fmt::format(" and {} more layers", more[i]);
    return result;
  }

  double steps() const { return static_cast<double>(model_.steps); }
  double vectors(std::size_t l) const { return steps() * facts_.layers[l].vectors; }
  /// Read from memory for all windows of a convolution.
  double values(std::size_t l) const { return steps() * facts_.layers[l].values; }

  static bool convolves(const nn::LinearLayer& layer) {
    return layer.kind == nn::LinearKind::convolution || layer.kind == nn::LinearKind::transposed_convolution;
  }

  cost::ProductShape product(std::size_t l, const nn::LinearPart& part) const {
    const nn::LinearLayer& layer = executor_.layers()[l];
    cost::ProductShape shape;
    shape.inputs = part.weight.cols();
    shape.outputs = part.weight.rows();
    shape.bias = !part.bias.empty();
    shape.vectors = vectors(l);
    if (convolves(layer)) shape.values = values(l) / static_cast<double>(layer.groups);
    return shape;
  }

  cost::LayerDesign layer(std::size_t l) const {
    const nn::LinearLayer& source = executor_.layers()[l];
    cost::LayerDesign design;
    design.name = source.name;
    design.vectors = vectors(l);
    for (const nn::LinearPart& part : source.parts)
      design.operations += 2.0 * design.vectors * static_cast<double>(part.weight.rows() * part.weight.cols());
    const std::optional<int>& weight_bits = model_.parameters.weight_bits;
    if (!parameters_[l].analog) {
      design.digital = digital(l, design.operations / 2.0);
      if (weight_bits)
        design.bit_operations = design.operations * design.digital->activation_bits * design.digital->weight_bits;
      return design;
    }
    if (weight_bits)
      design.bit_operations = design.operations * *weight_bits *
                              cost::code_bits(cost::converter_codes(hardware_[l], parameters_[l].rpu).input);
    cost::LayerSurroundings surroundings;
    surroundings.next_input_bits = next_input_bits(l);
    const device::DeviceParameters* device = parameters_[l].device           ? &*parameters_[l].device
                                             : parameters_[l].written_device ? &*parameters_[l].written_device
                                                                             : nullptr;
    if (device != nullptr) surroundings.g_max_uS = device::g_max(device::converter(device->noise_model));
    if (!activity_.empty()) surroundings.activity = activity_[l];
    for (const nn::LinearPart& part : source.parts) {
      std::vector<cost::TileGroup> groups =
          cost::tile_groups(hardware_[l], parameters_[l].rpu, product(l, part), surroundings);
      design.tiles.insert(design.tiles.end(), groups.begin(), groups.end());
    }
    return design;
  }

  cost::DigitalDesign digital(std::size_t l, double macs) const {
    const nn::LinearLayer& source = executor_.layers()[l];
    const cost::HardwareParameters& hardware = hardware_[l];
    cost::DigitalDesign design;
    design.node_nm = hardware.technology;
    design.supply_V = hardware.supply_V.value_or(cost::nominal_supply_V(hardware.technology));
    design.macs = macs;
    design.lanes = hardware.digital.digital_lanes;
    design.clock_GHz = hardware.digital.clock_GHz;
    design.buffered = hardware.buffer.has_value();
    if (hardware.buffer) design.buffer_kB = hardware.buffer->access_kB.value_or(hardware.buffer->size_kB);
    if (quantization_ != nullptr) {
      const quant::ResolvedQuantization ranges =
          quant::resolve_quantization(quantization_->map, source.name, op_of(source));
      if (ranges.weight && ranges.weight->n_bits > 0) design.weight_bits = ranges.weight->n_bits;
      if (ranges.input_activation && ranges.input_activation->n_bits > 0)
        design.activation_bits = ranges.input_activation->n_bits;
      else if (ranges.activation && ranges.activation->n_bits > 0)
        design.activation_bits = ranges.activation->n_bits;
    }
    const double count = vectors(l);
    for (const nn::LinearPart& part : source.parts) {
      const auto inputs = static_cast<double>(part.weight.cols());
      const auto outputs = static_cast<double>(part.weight.rows());
      design.fan_in = std::max(design.fan_in, part.weight.cols());
      design.weights += inputs * outputs;
      design.input_uses += count * inputs;
      design.outputs += count * outputs;
      if (!convolves(source)) design.inputs += count * inputs;
    }
    if (convolves(source)) design.inputs = values(l);
    return design;
  }

  /// Bits of the DACs of the layers that read what this one makes: 0 if none is analog.
  int next_input_bits(std::size_t l) const {
    int bits = 0;
    for (const std::size_t reader : facts_.layers[l].readers)
      if (parameters_[reader].analog)
        bits = std::max(bits, cost::code_bits(cost::converter_codes(hardware_[reader], parameters_[reader].rpu).input));
    return bits;
  }

  const nn::Executor& executor_;
  const NetworkFacts& facts_;
  const CostModel& model_;
  std::span<const LayerActivity> activity_;
  const QuantizationParameters* quantization_;
  std::vector<LayerParameters> parameters_;
  std::vector<cost::HardwareParameters> hardware_;
};

/// Operators beside the weighted layers, with the values that they make for one inference.
std::string uncounted(const nn::Executor& executor) {
  const nn::Graph& graph = executor.graph();
  const std::vector<nn::ValueInfo> values =
      nn::infer_shapes(graph, nn::input_shapes(graph, 1, executor.options().sample_shapes));
  std::set<int> weighted;
  for (const nn::LinearLayer& layer : executor.layers()) weighted.insert(layer.node);
  std::map<std::string, double> made;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    if (weighted.contains(static_cast<int>(n))) continue;
    for (const nn::ValueId value : graph.nodes[n].outputs)
      if (value != nn::no_value && !values[static_cast<std::size_t>(value)].known)
        made[graph.nodes[n].op] += count_of(values[static_cast<std::size_t>(value)].shape);
  }
  std::vector<std::string> parts;
  for (const auto& [op, count] : made) parts.push_back(fmt::format("{} ({:.0f} values)", op, count));
  return parts.empty() ? std::string() : fmt::format("not counted: {}", fmt::join(parts, ", "));
}

}  // namespace

NetworkFacts network_facts(const nn::Executor& executor) {
  const nn::Graph& graph = executor.graph();
  const std::vector<std::vector<int>> readers = nn::consumers(graph);
  std::map<int, std::size_t> layer_of_node;
  for (std::size_t l = 0; l < executor.layers().size(); ++l) layer_of_node[executor.layers()[l].node] = l;
  NetworkFacts facts;
  for (std::size_t l = 0; l < executor.layers().size(); ++l) {
    const nn::LinearLayer& source = executor.layers()[l];
    NetworkFacts::Layer& layer = facts.layers.emplace_back();
    layer.vectors = static_cast<double>(executor.vectors_per_sample(l));
    layer.values = count_of(executor.layer_input_shape(l, 1));
    if (source.kind == nn::LinearKind::recurrent) layer.readers.push_back(l);
    std::set<int> seen;
    std::vector<int> next{source.node};
    while (!next.empty()) {
      const int node = next.back();
      next.pop_back();
      for (const nn::ValueId value : graph.nodes[static_cast<std::size_t>(node)].outputs) {
        if (value == nn::no_value) continue;
        for (const int reader : readers[static_cast<std::size_t>(value)]) {
          if (!seen.insert(reader).second) continue;
          if (const auto found = layer_of_node.find(reader); found != layer_of_node.end())
            layer.readers.push_back(found->second);
          else
            next.push_back(reader);
        }
      }
    }
  }
  return facts;
}

CostDescription describe_cost(const nn::Executor& executor, const NetworkFacts& facts, const LayerResolver& resolve,
                              const CostModel& model, std::span<const LayerActivity> activity,
                              const QuantizationParameters* quantization) {
  return Describer(executor, facts, resolve, model, activity, quantization).describe();
}

CostDescription describe_cost(const nn::Executor& executor, const LayerResolver& resolve, const CostModel& model,
                              std::span<const LayerActivity> activity, const QuantizationParameters* quantization) {
  const NetworkFacts facts = network_facts(executor);
  return describe_cost(executor, facts, resolve, model, activity, quantization);
}

std::vector<std::string> cost_notes(const nn::Executor& executor, const CostModel& model) {
  std::set<std::string> warnings;
  for (const nn::LinearLayer& layer : executor.layers())
    warnings.insert(cost::technology_warning(
        model.hardware(layer.name, executor.graph().nodes[static_cast<std::size_t>(layer.node)].op)));
  warnings.erase("");
  std::vector<std::string> notes(warnings.begin(), warnings.end());
  if (std::string rest = uncounted(executor); !rest.empty()) notes.push_back(std::move(rest));
  return notes;
}

ProgrammingSummary programming_summary(const nn::Executor& executor, const CostDescription& described,
                                       const CostModel& model, std::optional<double> pulses) {
  ProgrammingSummary summary;
  const cost::ComponentValues values = described.table.nominal();
  for (std::size_t l = 0; l < described.design.layers.size(); ++l) {
    const cost::LayerDesign& layer = described.design.layers[l];
    for (const cost::TileGroup& group : layer.tiles) {
      const cost::ProgrammingCost once = cost::programming_cost(group.tile, pulses, values);
      const double energy_J = once.energy_pJ * 1e-12 * static_cast<double>(group.count * layer.copies);
      summary.energy_J += energy_J;
      // Tiles are programmed one beside the other.
      summary.time_s = std::max(summary.time_s, once.time_ns * 1e-9);
      const std::optional<double>& shared = model.parameters.inferences_per_programming;
      if (executor.layers()[l].kind == nn::LinearKind::product)
        summary.per_inference_J += energy_J;
      else if (shared)
        summary.per_inference_J += energy_J / *shared;
    }
  }
  return summary;
}

double calibration_energy_per_day_J(const CostDescription& described, const CostModel& model) {
  double energy_fJ = 0.0;
  const cost::ComponentValues values = described.table.nominal();
  for (const cost::LayerDesign& layer : described.design.layers)
    for (const cost::TileGroup& group : layer.tiles)
      energy_fJ += cost::tile_cost(group.tile, values).energy_fJ.total() *
                   static_cast<double>(group.tile.rows * group.count * layer.copies);
  return energy_fJ * 1e-15 * model.parameters.calibrations_per_day;
}

}  // namespace tessera::sim
