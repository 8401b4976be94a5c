#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/nn/quantized_training.hpp"
#include "tessera/sim/quantization_parameters.hpp"
#include "tessera/sim/run_parameters.hpp"

namespace tessera::sim {

/// A network in digital low precision as it learns: quantizers of outputs, inputs, and of the weights of digital
/// layers, where QuantizedNetwork has them. Ranges are kept beside the graph, which stays as it was but for its
/// weights.
class LowPrecisionTraining {
 public:
  /// Ranges are learned from the step `learn_from` on; none: estimated in every batch. `known`: those of a model file.
  /// ConfigError that lists number formats, and quantized weights of layers that are not trained so: recurrent,
  /// transposed and grouped ones, gains and tables.
  LowPrecisionTraining(const nn::Graph& graph, const nn::ExecutorOptions& options,
                       const QuantizationParameters& parameters, const LayerResolver& resolve,
                       std::optional<std::uint64_t> learn_from, const QuantizerRanges& known);

  const nn::Graph& changed() const { return changed_; }
  const nn::ExecutorOptions& options() const { return options_; }
  /// Into the network made of changed(), before analog layers are put in.
  void give_quantizers(nn::TrainingNetwork& network);
  /// The graph that this was made of, with the weights of `trained`, which is changed() after learning.
  nn::Graph plain(const nn::Graph& trained) const;
  /// Of activations, and of weights where they are learned: estimated ones follow from the weights.
  QuantizerRanges ranges() const;

 private:
  struct Place {
    std::string node;
    std::string tensor;  ///< "output", "input" or "weight"
    nn::QuantizerTraining training;
    std::shared_ptr<nn::QuantizedTraining> quantizer = nullptr;
  };

  nn::Graph graph_, changed_;
  nn::ExecutorOptions options_;
  std::vector<Place> places_;
};

}  // namespace tessera::sim
