#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "sim/written_layer.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/tile/analog_layer.hpp"

namespace tessera::sim {

/// Layers may be shared by several operators; what is counted is not.
class AnalogOperator final : public nn::LinearOperator,
                             private nn::TwoStage,
                             private nn::ConvertsInputs,
                             private nn::TakesWeights {
 public:
  /// `written`: the devices into which the matrices of a product of two activations are programmed; null for exact
  /// ones.
  AnalogOperator(std::string name, std::shared_ptr<const tile::AnalogLayer> layer, std::uint32_t event,
                 std::shared_ptr<const device::DeviceParameters> written = nullptr,
                 std::optional<device::RetentionParameters> retention = std::nullopt)
      : name_(std::move(name)),
        layer_(std::move(layer)),
        event_(event),
        written_(std::move(written)),
        retention_(retention) {}

  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const override {
    counted(first_vector, parallel, {}, [&](const tile::ForwardCall& call) { layer_->forward(x, y, call); });
  }
  const nn::TwoStage* two_stage() const override { return this; }
  /// What is counted is counted vector by vector.
  const nn::ConvertsInputs* converts_inputs() const override {
    return !count_ && layer_->input_conversion() ? this : nullptr;
  }
  const nn::TakesWeights* takes_weights() const override { return this; }
  std::unique_ptr<const nn::SideBySide> side_by_side(
      std::span<const nn::LinearOperator* const> operators) const override;

  const std::string& name() const { return name_; }
  const tile::AnalogLayer& layer() const { return *layer_; }
  const std::shared_ptr<const tile::AnalogLayer>& shared_layer() const { return layer_; }
  void count_statistics(bool count) { count_ = count; }
  /// Whether activity of the DACs is counted: alone, or with statistics.
  void count_activity(bool count) { activity_ = count; }
  /// Counts what `blank` counts, too.
  void count_like(tile::LayerStatistics blank) {
    blank_ = std::make_unique<const tile::LayerStatistics>(std::move(blank));
  }
  tile::LayerStatistics statistics() const {
    const std::lock_guard lock(mutex_);
    return statistics_ ? *statistics_ : tile::LayerStatistics{};
  }

 private:
  class Columns;

  std::int64_t product_columns() const override { return layer_->product_columns(); }
  void product(ConstMatrixView x, MatrixView v, std::uint64_t first_vector, Parallel parallel,
               const std::optional<kernels::CodeSums>& converted) const override {
    counted(first_vector, parallel, converted, [&](const tile::ForwardCall& call) { layer_->product(x, v, call); });
  }
  void periphery(ConstMatrixView v, MatrixView y, Parallel parallel) const override {
    layer_->periphery(v, y, parallel);
  }

  kernels::InputConversion input_conversion() const override { return *layer_->input_conversion(); }
  void convert(std::span<const float> x, std::span<float> z) const override {
    require<RunError>(kernels::convert_inputs(input_conversion(), x, z),
                      "layer '{}': a value at the input of an analog tile is not finite", name_);
  }
  bool counts_codes() const override { return activity_; }
  void forward_converted(ConstMatrixView z, MatrixView y, std::uint64_t first_vector, Parallel parallel,
                         const kernels::CodeSums& codes) const override {
    counted(first_vector, parallel, codes, [&](const tile::ForwardCall& call) { layer_->forward(z, y, call); });
  }

  void multiply(ConstMatrixView weight, ConstMatrixView x, MatrixView y, std::uint64_t first_vector,
                std::uint64_t written, Parallel parallel) const override {
    const tile::AnalogLayer layer = written_layer(*layer_, weight, written_.get(), written);
    if (!retention_)
      return counted(first_vector, parallel, {}, [&](const tile::ForwardCall& call) { layer.forward(x, y, call); });
    const auto part_of = [](auto view, std::int64_t first, std::int64_t count) { return view.rows_from(first, count); };
    read_leaking(
        layer, *retention_, written, x.rows, [&](const tile::AnalogLayer& now, std::int64_t first, std::int64_t count) {
          counted(first_vector + static_cast<std::uint64_t>(first), parallel, {}, [&](const tile::ForwardCall& call) {
            now.forward(part_of(x, first, count), part_of(y, first, count), call);
          });
        });
  }

  template <class Call>
  void counted(std::uint64_t first_vector, Parallel parallel, const std::optional<kernels::CodeSums>& converted,
               const Call& run) const {
    tile::LayerStatistics statistics = blank_ ? blank_->blank() : tile::LayerStatistics{};
    statistics.activity = activity_;
    statistics.only_activity = !count_;
    const bool counts = count_ || activity_;
    try {
      run({first_vector, parallel, counts ? &statistics : nullptr, event_, converted});
    } catch (const RunError& error) {
      throw RunError(fmt::format("layer '{}': {}", name_, error.what()));
    }
    if (counts) {
      const std::lock_guard lock(mutex_);
      if (!statistics_) statistics_ = std::make_unique<tile::LayerStatistics>();
      *statistics_ += statistics;
    }
  }

  std::string name_;
  std::shared_ptr<const tile::AnalogLayer> layer_;
  std::uint32_t event_;
  std::shared_ptr<const device::DeviceParameters> written_;
  std::optional<device::RetentionParameters> retention_;
  bool count_ = true;
  bool activity_ = false;
  std::unique_ptr<const tile::LayerStatistics> blank_;  // null: one of nothing
  // Counts are integers and maxima: the order in which threads add theirs cannot change them.
  mutable std::mutex mutex_;
  mutable std::unique_ptr<tile::LayerStatistics> statistics_;  // null: nothing was counted
};

}  // namespace tessera::sim
