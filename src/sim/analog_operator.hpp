#pragma once
#include <mutex>
#include <string>

#include "tessera/nn/linear.hpp"
#include "tessera/tile/analog_layer.hpp"

namespace tessera::sim {

class AnalogOperator final : public nn::LinearOperator {
 public:
  AnalogOperator(std::string name, tile::AnalogLayer layer, std::uint32_t event)
      : name_(std::move(name)), layer_(std::move(layer)), event_(event) {}

  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const override {
    tile::LayerStatistics counted;
    try {
      layer_.forward(x, y, {first_vector, parallel, count_ ? &counted : nullptr, event_});
    } catch (const RunError& error) {
      throw RunError(fmt::format("layer '{}': {}", name_, error.what()));
    }
    if (count_) {
      const std::lock_guard lock(mutex_);
      statistics_ += counted;
    }
  }

  const std::string& name() const { return name_; }
  tile::AnalogLayer& layer() { return layer_; }
  const tile::AnalogLayer& layer() const { return layer_; }
  void count_statistics(bool count) { count_ = count; }
  tile::LayerStatistics statistics() const {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  std::string name_;
  tile::AnalogLayer layer_;
  std::uint32_t event_;
  bool count_ = true;
  // Counts are integers and maxima: the order in which threads add theirs cannot change them.
  mutable std::mutex mutex_;
  mutable tile::LayerStatistics statistics_;
};

}  // namespace tessera::sim
