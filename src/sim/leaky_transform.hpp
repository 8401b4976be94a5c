#pragma once
#include <string>

#include "tessera/nn/transform.hpp"
#include "tessera/quant/leaky.hpp"

namespace tessera::sim {

/// A population of neurons in a network unrolled over time: the samples of a call are images of `steps` steps each;
/// every image begins with U = 0. y is the spikes, or the state U after each step.
class LeakyTransform final : public nn::ValueTransform {
 public:
  enum class Emit { spikes, state };
  LeakyTransform(std::string name, quant::LeakyParameters parameters, std::int64_t steps, Emit emit);
  bool needs_order() const override;
  /// RunError where the input is not finite.
  void apply(const nn::TransformCall& call) const override;

 private:
  std::string name_;
  quant::Leaky leaky_;
  std::int64_t steps_;
  Emit emit_;
};

}  // namespace tessera::sim
