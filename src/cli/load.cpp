#include "cli/load.hpp"

#include <fstream>
#include <iterator>

#include "tessera/h5/file.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::cli {

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
    const int folded = nn::fold_batchnorm(loaded.graph);
    environment.note(fmt::format("{} batch normalizations folded into the layers before them", folded));
  }
  return loaded;
}

nn::Executor load_executor(const sim::ModelParameters& model, const Shape& sample_shape,
                           const Environment& environment) {
  return make_executor(load_prepared_model(model, environment).graph, sample_shape);
}

nn::Executor make_executor(nn::Graph graph, const Shape& sample_shape) {
  nn::ExecutorOptions options;
  options.sample_shapes = {sim::fitted_sample_shape(graph, sample_shape)};
  return nn::Executor(std::move(graph), std::move(options));
}

sim::NetworkCalibration load_calibration(const sim::ModelParameters& model, const nn::Executor& executor) {
  if (!model.use_calibration || !h5::is_hdf5(model.file)) return {};
  return sim::read_calibration(executor.layers(), io::read_calibration(model.file));
}

std::vector<spec::LayerName> layer_names(const nn::Executor& executor) {
  std::vector<spec::LayerName> names;
  for (const nn::LinearLayer& layer : executor.layers())
    names.push_back({layer.name, executor.graph().nodes[static_cast<std::size_t>(layer.node)].op});
  return names;
}

}  // namespace tessera::cli
