#include "sim/analog_operator.hpp"

#include "tessera/tile/analog_columns.hpp"

namespace tessera::sim {

/// Counts for all of them are kept by the first one.
class AnalogOperator::Columns final : public nn::SideBySide {
 public:
  Columns(const AnalogOperator& first, tile::AnalogColumns columns) : first_(first), columns_(std::move(columns)) {}

  void convert(std::span<const float> x, std::span<float> z) const override {
    try {
      columns_.convert(x, z);
    } catch (const RunError& error) {
      throw RunError(fmt::format("layer '{}': {}", first_.name_, error.what()));
    }
  }
  bool counts_inputs() const override { return first_.count_; }
  void count_inputs(std::span<const float> x, std::int64_t times) const override {
    first_.counted(0, {}, {},
                   [&](const tile::ForwardCall& call) { columns_.count_inputs(x, times, *call.statistics); });
  }
  void forward_converted(const kernels::ChannelWindows& z, MatrixView y, std::uint64_t first_vector) const override {
    first_.counted(first_vector, {}, {}, [&](const tile::ForwardCall& call) {
      columns_.forward(z, y, call.first_vector, call.event, call.statistics);
    });
  }

 private:
  const AnalogOperator& first_;
  tile::AnalogColumns columns_;
};

std::unique_ptr<const nn::SideBySide> AnalogOperator::side_by_side(
    std::span<const nn::LinearOperator* const> operators) const {
  std::vector<const tile::AnalogLayer*> layers;
  for (const nn::LinearOperator* one : operators) {
    const auto* own = dynamic_cast<const AnalogOperator*>(one);
    if (own == nullptr || own->count_ != count_ || activity_ || own->activity_ || own->event_ != event_) return nullptr;
    layers.push_back(own->layer_.get());
  }
  std::optional<tile::AnalogColumns> columns = tile::AnalogColumns::of(layers);
  return columns ? std::make_unique<Columns>(*this, std::move(*columns)) : nullptr;
}

}  // namespace tessera::sim
