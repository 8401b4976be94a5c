#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/training.hpp"
#include "tessera/tile/learning.hpp"

namespace tessera::sim {

/// One product of a weighted layer on analog tiles that learn.
class AnalogTrainable final : public nn::TrainableLinear {
 public:
  AnalogTrainable(std::string name, tile::LearningLayer layer) : name_(std::move(name)), layer_(std::move(layer)) {}

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
  std::uint64_t step_ = 0;
};

}  // namespace tessera::sim
