#include "app/load.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "tessera/h5/file.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/batching.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/nn/states.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/sim/folding.hpp"
#include "tessera/sim/network_input.hpp"
#include "tessera/sim/spiking_network.hpp"

namespace tessera::app {

std::string read_text_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  require<InputError>(stream.good(), "{}: cannot be read", path);
  std::string text(std::istreambuf_iterator<char>(stream), {});
  require<InputError>(!stream.bad(), "{}: cannot be read", path);
  return text;
}

nn::Graph load_model(const std::string& path, const Environment& environment) {
  return h5::is_hdf5(path) ? io::load_model(path) : io::import_onnx(path, environment);
}

namespace {

std::vector<std::string> names_of(const nn::Graph& graph, const std::vector<nn::ValueId>& ids) {
  std::vector<std::string> names;
  for (const nn::ValueId id : ids) names.push_back(graph.name_of(id));
  return names;
}

/// The outputs that are kept, the evaluated one first, then those of states.
void choose_outputs(nn::Graph& graph, const sim::ModelParameters& model, const Environment& environment) {
  const std::vector<std::string> names = names_of(graph, graph.outputs);
  const auto index_of = [&](const std::string& name, const char* key) {
    const auto found = std::ranges::find(names, name);
    if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
    const std::string near = nearest_word(name, names);
    throw ConfigError(key, fmt::format("the network has no output '{}'{}; it has {}", name,
                                       near.empty() ? std::string() : fmt::format(", did you mean '{}'?", near),
                                       fmt::join(names, ", ")));
  };
  if (!model.output.empty() && !model.outputs.empty())
    throw ConfigError("model.outputs", "its first entry is the output that is evaluated; leave model.output out");
  std::vector<std::size_t> kept;
  const auto keep = [&](std::size_t o) {
    if (std::ranges::find(kept, o) == kept.end()) kept.push_back(o);
  };
  for (const std::string& name : model.outputs) {
    if (name != "*") keep(index_of(name, "model.outputs"));
    for (std::size_t o = 0; name == "*" && o < names.size(); ++o) keep(o);
  }
  const auto is_state = [&](std::size_t o) {
    return std::ranges::any_of(graph.states, [&](const nn::GraphState& state) { return state.output == o; });
  };
  if (!model.output.empty()) keep(index_of(model.output, "model.output"));
  for (std::size_t o = 0; o < names.size() && kept.empty(); ++o)
    if (!is_state(o)) keep(o);
  if (kept.empty()) keep(0);
  std::vector<std::string> left;
  for (std::size_t o = 0; o < names.size(); ++o)
    if (std::ranges::find(kept, o) == kept.end() && !is_state(o)) left.push_back(names[o]);
  if (!left.empty() && model.output.empty() && model.outputs.empty())
    environment.note(fmt::format("output '{}' of the network is evaluated, and not {}; model.output chooses another",
                                 names[kept.front()], fmt::join(left, ", ")));
  for (const nn::GraphState& state : graph.states) keep(state.output);
  std::vector<nn::ValueId> outputs;
  for (const std::size_t o : kept) outputs.push_back(graph.outputs[o]);
  for (nn::GraphState& state : graph.states)
    state.output = static_cast<std::size_t>(std::ranges::find(kept, state.output) - kept.begin());
  const bool fewer = outputs.size() < graph.outputs.size();
  graph.outputs = std::move(outputs);
  if (fewer) nn::remove_dead_nodes(graph);
}

std::vector<nn::StateLink> state_links(const sim::ModelParameters& model) {
  std::vector<nn::StateLink> links;
  for (const auto& [output, state] : model.state) {
    links.push_back({output, state.input, std::nullopt});
    if (!state.initial.empty()) links.back().initial = io::read_npy(state.initial);
  }
  return links;
}

}  // namespace

io::Model load_prepared_model(const sim::ModelParameters& model, std::span<const io::ConstantInput> constants,
                              const Environment& environment) {
  io::Model loaded;
  if (h5::is_hdf5(model.file)) {
    loaded = io::read_model(model.file);
    if (model.dequantize)
      environment.note(
          fmt::format("no effect: model.dequantize ({} holds what its import made of integer layers)", model.file));
    nn::carry_states(loaded.graph, state_links(model));
  } else {
    io::OnnxImportOptions options;
    for (const io::ConstantInput& constant : constants) options.fills[constant.name] = constant.value;
    options.states = state_links(model);
    options.dequantize = model.dequantize;
    loaded.graph = io::import_onnx(model.file, environment, options);
  }
  choose_outputs(loaded.graph, model, environment);
  if (model.fold_batchnorm) {
    const int folded = model.use_calibration ? sim::fold_batchnorm(loaded) : nn::fold_batchnorm(loaded.graph);
    const bool left =
        std::ranges::any_of(loaded.graph.nodes, [](const nn::Node& node) { return node.op == "BatchNormalization"; });
    if (folded > 0 || left)
      environment.note(fmt::format("{} batch normalizations folded into the layers before them", folded));
  }
  return loaded;
}

nn::Executor load_executor(const sim::ModelParameters& model, const io::DataSet& data, const Environment& environment,
                           std::span<const spec::RunConfig* const> configs) {
  nn::Executor executor = make_executor(load_prepared_model(model, data.constants(), environment).graph, data, configs);
  const Shape& sample = executor.options().sample_shapes.front();
  if (!sim::sample_order(data, sample).empty())
    environment.note(fmt::format("samples of {} are transposed to the network's {} (data.layout)",
                                 to_string(data.sample_shape()), to_string(sample)));
  return executor;
}

nn::Executor load_executor(const spec::RunConfig& config, const io::DataSet& data, const Environment& environment) {
  const spec::RunConfig* const only = &config;
  return load_executor(config.model, data, environment, {&only, 1});
}

nn::Executor make_executor(nn::Graph graph, const io::DataSet& data, std::span<const spec::RunConfig* const> configs) {
  if (!graph.states.empty() && data.sequence_starts() == nullptr)
    throw ConfigError("data.sequence",
                      "a network with a state (model.state) sees samples in sequences; give {length: ...}, of which 0 "
                      "makes all samples one sequence");
  if (!data.inputs().empty()) sim::pack_inputs(graph, data);
  nn::fit_batch(graph, data.sample_shape());
  Shape sample = sim::fitted_sample_shape(graph, data);
  nn::ExecutorOptions options;
  if (!graph.states.empty()) options.sequence_starts = data.sequence_starts();
  return make_executor(std::move(graph), std::move(sample), configs, std::move(options));
}

nn::Executor make_executor(nn::Graph graph, Shape sample, std::span<const spec::RunConfig* const> configs,
                           nn::ExecutorOptions options) {
  options.sample_shapes = {std::move(sample)};
  for (const spec::LayerName& product : product_names(graph))
    if (std::any_of(configs.begin(), configs.end(),
                    [&](const spec::RunConfig* config) { return spec::asks_for_product(*config, product); }))
      options.products.push_back(product.name);
  return nn::Executor(std::move(graph), std::move(options));
}

ModelRanges load_ranges(const sim::ModelParameters& model, const nn::Executor& executor) {
  if (!h5::is_hdf5(model.file)) return {};
  return ranges_of(model, executor, io::read_calibration(model.file));
}

ModelRanges ranges_of(const sim::ModelParameters& model, const nn::Executor& executor,
                      const std::map<std::string, io::LayerNumbers>& numbers) {
  if (!model.use_calibration) return {};
  return {sim::read_calibration(executor.layers(), numbers), sim::read_quantizer_ranges(numbers)};
}

sim::SpikingParameters load_neurons(const sim::SpikingParameters& spiking, const sim::ModelParameters& model) {
  if (!model.use_calibration || !h5::is_hdf5(model.file)) return spiking;
  return sim::with_learned_neurons(spiking, io::read_calibration(model.file));
}

void note_without_tiles(const std::vector<spec::LayerConfig>& layers, const nn::Executor& executor,
                        const Environment& environment) {
  if (std::any_of(layers.begin(), layers.end(), [](const spec::LayerConfig& layer) { return layer.analog; })) return;
  environment.note(executor.layers().empty()
                       ? "no layer of this network is on tiles: it has no product with constant weights"
                       : "no layer of this network is on tiles: all of them are digital as configured");
}

std::vector<spec::LayerName> layer_names(const nn::Executor& executor) {
  std::vector<spec::LayerName> names;
  for (const nn::LinearLayer& layer : executor.layers())
    names.push_back({layer.name, executor.graph().nodes[static_cast<std::size_t>(layer.node)].op,
                     layer.kind == nn::LinearKind::product});
  for (spec::LayerName& product : product_names(executor.graph()))
    if (std::none_of(names.begin(), names.end(), [&](const spec::LayerName& n) { return n.name == product.name; }))
      names.push_back(std::move(product));
  return names;
}

std::vector<spec::LayerName> product_names(const nn::Graph& graph) {
  std::vector<spec::LayerName> names;
  for (std::string& name : nn::activation_products(graph)) names.push_back({std::move(name), "MatMul", true});
  return names;
}

}  // namespace tessera::app
