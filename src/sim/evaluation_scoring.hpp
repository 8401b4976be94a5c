#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "tessera/sim/evaluate.hpp"
#include "tessera/sim/network_input.hpp"
#include "tessera/sim/scores.hpp"

namespace tessera::sim {

/// Private: what the outputs of a network are compared with, and how well they do.
class EvaluationScoring {
 public:
  explicit EvaluationScoring(const EvaluationRequest& request);

  bool compares_classes() const {
    return task_ == Task::classification || task_ == Task::language_model || task_ == Task::agreement;
  }
  bool compares_with_float32() const { return task_ == Task::language_model || task_ == Task::agreement; }
  /// The largest class of every position.
  std::vector<std::int32_t> predicted(const Tensor& output) const;
  /// `reference`: the outputs of the float32 network; `first`: number of the first sample. The fraction of each
  /// sample's positions that are right goes to `right`, if one is given.
  void add(TaskScore& score, const Tensor& output, const Tensor& reference, const Tensor& input, std::int64_t first,
           std::vector<float>* right = nullptr) const;

  /// Of each sample the sum of -ln p over its positions that count. For tasks with classes of their own: not agreement.
  std::vector<double> losses(const Tensor& output, const Tensor& input, std::int64_t first) const;

 private:
  /// Labels that do not count.
  std::optional<std::int32_t> ignored() const;
  /// The class of every position of a batch: its label, the next token, or what the float32 network says.
  std::vector<std::int32_t> expected_classes(const Tensor& reference, const Tensor& input, std::int64_t first,
                                             std::int64_t count) const;

  const EvaluationRequest& request_;
  OutputKind kind_;
  Task task_;
  ClassLayout layout_;
  TokenInput tokens_;
};

}  // namespace tessera::sim
