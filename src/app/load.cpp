#include "app/load.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "tessera/h5/file.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/io/onnx_import.hpp"
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

io::Model load_prepared_model(const sim::ModelParameters& model, const Environment& environment) {
  io::Model loaded;
  if (h5::is_hdf5(model.file))
    loaded = io::read_model(model.file);
  else
    loaded.graph = io::import_onnx(model.file, environment);
  if (model.fold_batchnorm) {
    const int folded = model.use_calibration ? sim::fold_batchnorm(loaded) : nn::fold_batchnorm(loaded.graph);
    environment.note(fmt::format("{} batch normalizations folded into the layers before them", folded));
  }
  return loaded;
}

nn::Executor load_executor(const sim::ModelParameters& model, const Shape& sample_shape, const Environment& environment,
                           std::span<const spec::RunConfig* const> configs) {
  return make_executor(load_prepared_model(model, environment).graph, sample_shape, configs);
}

nn::Executor load_executor(const spec::RunConfig& config, const Shape& sample_shape, const Environment& environment) {
  const spec::RunConfig* const only = &config;
  return load_executor(config.model, sample_shape, environment, {&only, 1});
}

nn::Executor make_executor(nn::Graph graph, const Shape& sample_shape,
                           std::span<const spec::RunConfig* const> configs) {
  nn::ExecutorOptions options;
  options.sample_shapes = {sim::fitted_sample_shape(graph, sample_shape)};
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
