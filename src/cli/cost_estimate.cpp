#include "cli/cost_estimate.hpp"

#include <algorithm>

#include "cli/load.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/sim/cost_recording.hpp"

namespace tessera::cli {

namespace {

/// The shape of a sample: that of the network, and of the data only where the network leaves it open.
Shape sample_shape_of(const nn::Graph& graph, const spec::RunConfig& config) {
  if (graph.inputs.size() == 1) {
    const Shape& wanted = graph.inputs.front().shape;
    if (!wanted.empty() && std::all_of(wanted.begin() + 1, wanted.end(), [](std::int64_t n) { return n >= 0; }))
      return {wanted.begin() + 1, wanted.end()};
  }
  if (!config.data.sample_shape.empty()) return config.data.sample_shape;
  return io::DataSet(config.data).sample_shape();
}

nn::Executor open_network(const spec::RunConfig& config, const Environment& environment) {
  nn::Graph graph = load_prepared_model(config.model, environment).graph;
  const Shape shape = sample_shape_of(graph, config);
  const spec::RunConfig* const only = &config;
  return make_executor(std::move(graph), shape, {&only, 1});
}

}  // namespace

CostEstimate estimate_cost(const spec::RunConfig& config, const Environment& environment) {
  spec::RunConfig counted = config;
  if (!counted.cost) counted.cost.emplace();
  counted.cost->activity = cost::Activity::assumed;
  nn::Executor executor = open_network(config, environment);
  const std::vector<spec::LayerName> names = layer_names(executor);
  spec::resolve_layers(counted, names);
  const sim::CostModel model = *spec::cost_model(counted, names);
  const sim::QuantizationParameters* quantization = config.quantization ? &*config.quantization : nullptr;
  sim::CostDescription description =
      sim::describe_cost(executor, spec::layer_resolver(counted, executor.options().products), model, {}, quantization);
  results::CostRecord record = sim::cost_record(description);
  const sim::ProgrammingSummary programming = sim::programming_summary(executor, description, model);
  const double calibration = sim::calibration_energy_per_day_J(description, model);
  std::vector<std::string> notes = sim::cost_notes(executor, model);
  return {std::move(executor), std::move(description), std::move(record), programming, calibration, std::move(notes)};
}

results::Header cost_header(const spec::RunConfig& config, const CostEstimate& estimate) {
  results::Header header;
  header.seed = config.seed;
  header.rng_layout = random::rng_layout;
  header.task = results::Task::none;
  header.statistics = false;
  header.hardware = false;
  sim::CostModel model;
  if (config.cost) model.parameters = *config.cost;
  sim::describe_costs(header, model);
  for (std::size_t l = 0; l < estimate.executor.layers().size(); ++l) {
    const nn::LinearLayer& source = estimate.executor.layers()[l];
    results::LayerHeader& layer = header.layers.emplace_back();
    layer.name = source.name;
    layer.op = estimate.executor.graph().nodes[static_cast<std::size_t>(source.node)].op;
    layer.analog = !estimate.description.design.layers[l].tiles.empty();
    layer.inputs = source.parts.front().weight.cols();
    for (const nn::LinearPart& part : source.parts) layer.outputs += part.weight.rows();
    const Shape output = estimate.executor.layer_output_shape(l, 1);
    layer.output_shape = Shape(output.begin() + 1, output.end());
  }
  return header;
}

}  // namespace tessera::cli
