#include "tessera/app/cost.hpp"

#include <algorithm>

#include "app/load.hpp"
#include "app/positions.hpp"
#include "app/provenance.hpp"
#include "app/reading.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/results/writer.hpp"
#include "tessera/sim/cost_recording.hpp"

namespace tessera::app {

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
  const std::vector<io::ConstantInput> constants = io::constant_inputs(config.data);
  nn::Graph graph = load_prepared_model(config.model, constants, environment).graph;
  const spec::RunConfig* const alone = &config;
  if (!config.data.named_inputs.empty() || !graph.states.empty())
    return make_executor(std::move(graph), io::DataSet(config.data), {&alone, 1});
  Shape shape = sample_shape_of(graph, config);
  const spec::RunConfig* const only = &config;
  return make_executor(std::move(graph), std::move(shape), {&only, 1});
}

/// Axes and layers.
results::Header cost_header(const Source& given, const CostEstimate& estimate) {
  const spec::RunConfig& config = estimate.config;
  results::Header header;
  header.command = neutral_command("cost", given);
  header.config_text = given.text;
  header.resolved_text = neutral_resolved_text(config);
  header.task_id = sha256_hex(header.resolved_text);
  header.seed = config.seed;
  header.rng_layout = random::rng_layout;
  header.task = results::Task::none;
  header.statistics = false;
  header.hardware = false;
  sim::CostModel model;
  if (config.cost) model.parameters = *config.cost;
  sim::describe_costs(header, model);
  for (std::size_t l = 0; l < estimate.executor->layers().size(); ++l) {
    const nn::LinearLayer& source = estimate.executor->layers()[l];
    results::LayerHeader& layer = header.layers.emplace_back();
    layer.name = source.name;
    layer.op = estimate.executor->graph().nodes[static_cast<std::size_t>(source.node)].op;
    layer.analog = !estimate.description.design.layers[l].tiles.empty();
    layer.inputs = source.parts.front().weight.cols();
    for (const nn::LinearPart& part : source.parts) layer.outputs += part.weight.rows();
    const Shape output = estimate.executor->layer_output_shape(l, 1);
    layer.output_shape = Shape(output.begin() + 1, output.end());
  }
  return header;
}

CostEstimate estimate_cost(const Source& source, const CostOptions& options, const Environment& environment) {
  CostEstimate estimate;
  estimate.config = read_config(source, environment);
  spec::RunConfig counted = estimate.config;
  if (!counted.cost) environment.note("no cost: section: the default hardware is counted");
  if (!counted.cost) counted.cost.emplace();
  counted.cost->activity = cost::Activity::assumed;
  estimate.executor = std::make_shared<const nn::Executor>(open_network(counted, environment));
  const nn::Executor& executor = *estimate.executor;
  const std::vector<spec::LayerName> names = layer_names(executor);
  spec::resolve_layers(counted, names);
  const sim::CostModel model = *spec::cost_model(counted, names);
  const sim::QuantizationParameters* quantization = counted.quantization ? &*counted.quantization : nullptr;
  estimate.description =
      sim::describe_cost(executor, spec::layer_resolver(counted, executor.options().products), model, {}, quantization);
  estimate.record = sim::cost_record(estimate.description);
  estimate.programming = sim::programming_summary(executor, estimate.description, model);
  estimate.calibration_J_per_day = sim::calibration_energy_per_day_J(estimate.description, model);
  estimate.notes = sim::cost_notes(executor, model);

  results::Header header = cost_header(source, estimate);
  results::Writer writer =
      options.file.empty() ? results::Writer(std::move(header)) : results::Writer(options.file, std::move(header));
  results::Point point;
  point.cost = estimate.record;
  writer.write_point({}, point);
  estimate.file = {options.file, writer.commit()};
  return estimate;
}

}  // namespace

CostEstimate Simulation::estimate_cost(const CostOptions& options, const Execution& execution) const {
  return with_positions(document(), [&] { return app::estimate_cost(source_, options, execution.environment); });
}

}  // namespace tessera::app
