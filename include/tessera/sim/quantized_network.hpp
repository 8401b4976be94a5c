#pragma once
#include <memory>
#include <string>
#include <vector>

#include "tessera/io/dataset.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/quantization_parameters.hpp"
#include "tessera/sim/run_parameters.hpp"

/// Networks in digital low precision, alone or around analog layers.
namespace tessera::sim {

class RangeQuantizer;

/// A copy of a network whose weights and activations are quantized.
///
/// | tensor | how |
/// |---|---|
/// | weight | of digital layers: once, when the network is built; per channel means per output. The bias stays float32.
/// Of analog layers, number formats only: the target weights are rounded before they are mapped to tiles; weight_quant
/// has no effect |
/// | output | of a layer, after its bias and before any activation function; digital and analog layers alike |
/// | input | in front of one layer, seen by it alone |
/// | partial sums | of digital layers: products are added one by one, inputs in order (channel-major for convolutions),
/// sum = format(sum + product); then the bias in float32 |
///
/// Ranges of activations are estimated on the calibration samples as the peer does it (quantization reference, section
/// C.6): batch after batch, each quantized with the ranges that already include it, analog layers in float32; then they
/// are fixed. Ranges that QuantizationParameters::ranges has are used as they are, those of weights too. The batches
/// are those of CalibrationParameters, so no range depends on threads or on the batch size of the run.
///
/// Batch normalization is not folded; only its output is quantized (section C.3). A block format sees each sample as a
/// tensor of its own: dim -1 and dim 0 are one block per sample, dim d one per index of axis d, so that no sample
/// depends on another. Stochastic rounding draws from (seed, node, sample, element).
class QuantizedNetwork {
 public:
  /// `reference` is the float32 network. ConfigError names every layer that is not there with the nearest name, every
  /// tensor that is asked to have both a range and a format, formats that do not fit the layer; InputError names a
  /// value whose range cannot be estimated.
  QuantizedNetwork(const nn::Executor& reference, const QuantizationParameters& parameters,
                   const LayerResolver& resolve, const io::DataSet& data, std::uint64_t seed, Parallel parallel);
  ~QuantizedNetwork();
  QuantizedNetwork(QuantizedNetwork&&) noexcept;
  QuantizedNetwork& operator=(QuantizedNetwork&&) noexcept;

  /// Same layers() as the reference.
  const nn::Executor& executor() const { return *executor_; }
  /// Operators of digital layers whose partial sums have a format; empty for others. One entry per layer.
  const nn::LinearOverrides& accumulators() const { return accumulators_; }

  /// One quantized tensor.
  struct Entry {
    std::string node;
    std::string tensor;  ///< "weight", "output", "input", "partial sums"
    std::string number;  ///< "8 bits in [-1.25, 1.24]", "fixed(wl=8, fl=4)"
  };
  const std::vector<Entry>& entries() const { return entries_; }
  /// Whether activations have ranges, which calibration found.
  bool has_ranges() const { return has_ranges_; }
  /// Those ranges, e.g. for a model file.
  QuantizerRanges ranges() const;
  /// What was asked for and has no effect, e.g. weights of analog layers.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  class Builder;
  std::vector<std::unique_ptr<nn::LinearOperator>> operators_;
  nn::LinearOverrides accumulators_;
  std::unique_ptr<nn::Executor> executor_;
  std::vector<Entry> entries_;
  std::vector<std::string> notes_;
  bool has_ranges_ = false;
  std::map<std::string, std::map<std::string, std::shared_ptr<const RangeQuantizer>>> quantizers_;
};

}  // namespace tessera::sim
