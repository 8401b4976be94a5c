#pragma once
#include <span>
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/quantizer_ranges.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/sim/spiking_parameters.hpp"
#include "tessera/spec/layers.hpp"

namespace tessera::app {

/// The whole text of a file; InputError if it cannot be read.
std::string read_text_file(const std::string& path);

/// Reads an ONNX or native model, by what is in the file.
nn::Graph load_model(const std::string& path, const Environment& environment);

/// Reads a model with what is known of it. The outputs that are asked for are kept, with a note of the others, and those
/// that are fed back; batch normalization is folded if that is asked for. `constants`: inputs that have one value.
io::Model load_prepared_model(const sim::ModelParameters& model, std::span<const io::ConstantInput> constants,
                              const Environment& environment);

/// A network for samples of this data set, with the products of two activations that any of the configurations puts on
/// tiles.
nn::Executor make_executor(nn::Graph graph, const io::DataSet& data,
                           std::span<const spec::RunConfig* const> configs = {});

/// The same for samples whose shape is that of the network's input already.
nn::Executor make_executor(nn::Graph graph, Shape sample, std::span<const spec::RunConfig* const> configs,
                           nn::ExecutorOptions options = {});

/// Reads the network, too.
nn::Executor load_executor(const sim::ModelParameters& model, const io::DataSet& data, const Environment& environment,
                           std::span<const spec::RunConfig* const> configs);
nn::Executor load_executor(const spec::RunConfig& config, const io::DataSet& data, const Environment& environment);

/// What calibration or training found.
struct ModelRanges {
  sim::NetworkCalibration layers;   ///< analog layers
  sim::QuantizerRanges quantizers;  ///< digital quantizers of activations
};

/// What the model file says; nothing for ONNX, or where it is not to be used.
ModelRanges load_ranges(const sim::ModelParameters& model, const nn::Executor& executor);
/// The same of numbers in memory.
ModelRanges ranges_of(const sim::ModelParameters& model, const nn::Executor& executor,
                      const std::map<std::string, io::LayerNumbers>& numbers);

/// The neurons, with what the model file says of those that learned.
sim::SpikingParameters load_neurons(const sim::SpikingParameters& spiking, const sim::ModelParameters& model);

/// A note if no layer is on tiles: everything that follows is about digital arithmetic.
void note_without_tiles(const std::vector<spec::LayerConfig>& layers, const nn::Executor& executor,
                        const Environment& environment);

/// The layers of the executor, then the products of two activations that are not among them.
std::vector<spec::LayerName> layer_names(const nn::Executor& executor);

/// The products of two activations of a network.
std::vector<spec::LayerName> product_names(const nn::Graph& graph);

}  // namespace tessera::app
