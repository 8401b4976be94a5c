#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "operator.hpp"
#include "tessera/nn/sample_axis.hpp"

/// What each operator does to the samples of a batch.
namespace tessera::nn {

/// What a rule sees: a node for one or two batches of different size, and where its inputs hold the samples. One of
/// them does, or there would be nothing to say.
class SampleContext {
 public:
  struct Input {
    std::array<const ValueInfo*, 2> info{};  ///< for each batch; null where the input is absent
    SampleAxis samples = no_samples;
    std::string name;
  };

  SampleContext(const Node& node, std::vector<Input> inputs, std::vector<std::int64_t> batches,
                std::vector<const Shape*> outputs)
      : node_(node), inputs_(std::move(inputs)), batches_(std::move(batches)), outputs_(std::move(outputs)) {}

  const Node& node() const { return node_; }
  std::size_t inputs() const { return inputs_.size(); }
  std::size_t outputs() const { return outputs_.size(); }
  bool has(std::size_t i) const { return i < inputs_.size() && inputs_[i].info[0] != nullptr; }
  const SampleAxis& samples(std::size_t i) const { return inputs_[i].samples; }
  bool sampled(std::size_t i) const { return has(i) && inputs_[i].samples.any(); }
  const Shape& shape(std::size_t i) const { return inputs_[i].info[0]->shape; }
  std::int64_t rank(std::size_t i) const { return static_cast<std::int64_t>(shape(i).size()); }
  bool has_output(std::size_t o) const { return outputs_[o] != nullptr; }
  /// Of output o, for the first batch.
  const Shape& output(std::size_t o) const { return *outputs_[o]; }
  std::int64_t batch() const { return batches_.front(); }
  std::size_t batches() const { return batches_.size(); }
  /// A known integer input for batch b; empty where the input is absent. UnprovenSamples if it depends on data.
  std::vector<std::int64_t> integers(std::size_t i, std::size_t b = 0) const;

  /// Throws MixedSamples unless input i is the same whatever the number of samples, and holds none.
  void require_steady(std::size_t i) const;
  /// The same for every input from `first` on.
  void require_steady_from(std::size_t first) const;
  /// Throws MixedSamples unless input i holds the samples like `wanted`, or is a constant that is the same for each.
  void require_follows(std::size_t i, const SampleAxis& wanted) const;
  /// require_steady() where input i has one entry along the axis, or is broadcast along it; else require_follows().
  /// `axis` may be negative: the input has no such axis.
  void require_broadcasts(std::size_t i, const SampleAxis& wanted) const;
  /// A constant that is the same for all samples of each batch, and of both batches.
  bool uniform(std::size_t i, const SampleAxis& samples) const;
  /// A constant, or what does not depend on the samples, that is the same in both batches.
  bool steady(std::size_t i) const;

  [[noreturn]] void mixed(const std::string& how) const;
  [[noreturn]] void unproven(const std::string& why) const;

 private:
  const Node& node_;
  std::vector<Input> inputs_;
  std::vector<std::int64_t> batches_;
  std::vector<const Shape*> outputs_;
};

/// Where the outputs hold the samples.
using SampleRule = std::vector<SampleAxis> (*)(const SampleContext&);

/// Null for operators without a rule.
SampleRule find_sample_rule(const std::string& op);

}  // namespace tessera::nn
