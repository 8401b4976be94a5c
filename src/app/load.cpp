#include "app/load.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "tessera/h5/file.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/batching.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/sim/folding.hpp"
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

/// Makes the output of this name the only one; the first without a name.
void choose_output(nn::Graph& graph, const std::string& name, const Environment& environment) {
  std::vector<std::string> names;
  for (const nn::ValueId id : graph.outputs) names.push_back(graph.values[static_cast<std::size_t>(id)].name);
  const auto chosen = name.empty() ? names.begin() : std::find(names.begin(), names.end(), name);
  if (chosen == names.end()) {
    const std::string near = nearest_word(name, names);
    throw ConfigError(
        "model.output",
        fmt::format("the network has no output '{}'{}; it has {}", name,
                    near.empty() ? std::string() : fmt::format(", did you mean '{}'?", near), fmt::join(names, ", ")));
  }
  if (names.size() <= 1) return;
  graph.outputs = {graph.outputs[static_cast<std::size_t>(chosen - names.begin())]};
  const std::string kept = *chosen;
  names.erase(chosen);
  if (name.empty())
    environment.note(fmt::format("output '{}' of the network is evaluated, and not {}; model.output chooses another",
                                 kept, fmt::join(names, ", ")));
  nn::remove_dead_nodes(graph);
}

}  // namespace

io::Model load_prepared_model(const sim::ModelParameters& model, const Environment& environment) {
  io::Model loaded;
  if (h5::is_hdf5(model.file))
    loaded = io::read_model(model.file);
  else
    loaded.graph = io::import_onnx(model.file, environment);
  choose_output(loaded.graph, model.output, environment);
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
  nn::Executor executor = make_executor(load_prepared_model(model, environment).graph, data, configs);
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
  nn::fit_batch(graph, data.sample_shape());
  Shape sample = sim::fitted_sample_shape(graph, data);
  return make_executor(std::move(graph), std::move(sample), configs);
}

nn::Executor make_executor(nn::Graph graph, Shape sample, std::span<const spec::RunConfig* const> configs) {
  nn::ExecutorOptions options;
  options.sample_shapes = {std::move(sample)};
  for (const spec::LayerName& product : product_names(graph))
    if (std::any_of(configs.begin(), configs.end(),
                    [&](const spec::RunConfig* config) { return spec::asks_for_product(*config, product); }))
      options.products.push_back(product.name);
  return nn::Executor(std::move(graph), std::move(options));
}

ModelRanges load_ranges(const sim::ModelParameters& model, const nn::Executor& executor) {
  if (!model.use_calibration || !h5::is_hdf5(model.file)) return {};
  const auto numbers = io::read_calibration(model.file);
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
