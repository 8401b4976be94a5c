#pragma once
#include <atomic>
#include <cstdint>

#include "tessera/nn/linear.hpp"
#include "tessera/sim/integer_chain.hpp"

namespace tessera::sim {

/// An Add of integer codes with a multiplier for each operand. Values stand for codes times their step.
class RescaledSum final : public nn::SumOperator {
 public:
  explicit RescaledSum(const CodeSum& sum);
  void add(std::span<const float> a, std::span<const float> b, std::span<float> y) const override;

  std::int64_t outputs() const { return outputs_; }
  std::int64_t saturated() const { return saturated_; }

 private:
  CodeSum sum_;
  // Counts are integers: the order in which threads add theirs cannot change them.
  mutable std::atomic<std::int64_t> outputs_ = 0, saturated_ = 0;
};

}  // namespace tessera::sim
