#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tessera/nn/training.hpp"
#include "tessera/tile/learning.hpp"

namespace tessera::sim {

/// One product of a weighted layer on analog tiles that learn.
class AnalogTrainable final : public nn::TrainableLinear {
 public:
  /// Activation quantizers learn their ranges from the step `learn_ranges_from` on; none: they follow the estimator.
  AnalogTrainable(std::string name, tile::LearningLayer layer, std::optional<std::uint64_t> learn_ranges_from)
      : name_(std::move(name)), layer_(std::move(layer)), learn_ranges_from_(learn_ranges_from) {}

  void begin_step(std::uint64_t step) override;
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) override;
  void backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, std::uint64_t first_vector,
                Parallel parallel) override;
  std::vector<nn::TrainedParameter> parameters() override;
  void updated() override { layer_.updated(); }

  const std::string& name() const { return name_; }
  tile::LearningLayer& layer() { return layer_; }
  const tile::LearningLayer& layer() const { return layer_; }

 private:
  tile::ForwardCall call(std::uint64_t first_vector, Parallel parallel) const;

  std::string name_;
  tile::LearningLayer layer_;
  std::optional<std::uint64_t> learn_ranges_from_;  ///< none: not, or already
  std::uint64_t step_ = 0;
};

}  // namespace tessera::sim
