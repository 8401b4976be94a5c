#include "sim/analog_trainable.hpp"

namespace tessera::sim {

namespace {

nn::ParameterKind kind_of(tile::LearnedKind kind) {
  switch (kind) {
    case tile::LearnedKind::weight:
      return nn::ParameterKind::weight;
    case tile::LearnedKind::bias:
      return nn::ParameterKind::bias;
    case tile::LearnedKind::input_range:
      return nn::ParameterKind::input_range;
    case tile::LearnedKind::output_scale:
      return nn::ParameterKind::output_scale;
    default:
      return nn::ParameterKind::quantizer_range;
  }
}

template <class Work>
void with_name(const std::string& name, Work&& work) {
  try {
    work();
  } catch (const RunError& error) {
    throw RunError(fmt::format("layer '{}': {}", name, error.what()));
  }
}

}  // namespace

void AnalogTrainable::begin_step(std::uint64_t step) {
  step_ = step;
  if (learn_ranges_from_ && step >= *learn_ranges_from_) {
    const auto& activations = layer_.parameters().act_quant_config;
    if (activations && activations->n_bits > 0) layer_.learn_activation_ranges(true);
    learn_ranges_from_.reset();
  }
  layer_.begin_batch(step);
}

/// Steps are told apart by the event, and beyond its 16 bits by the upper bits of the vectors' numbers.
tile::ForwardCall AnalogTrainable::call(std::uint64_t first_vector, Parallel parallel) const {
  return {first_vector + ((step_ >> 16) << 48), parallel, nullptr, static_cast<std::uint32_t>(step_ & 0xFFFFU)};
}

void AnalogTrainable::forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) {
  with_name(name_, [&] { layer_.forward(x, y, call(first_vector, parallel)); });
}

void AnalogTrainable::backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, std::uint64_t first_vector,
                               Parallel parallel) {
  with_name(name_, [&] { layer_.backward(x, dy, dx, call(first_vector, parallel)); });
}

std::vector<nn::TrainedParameter> AnalogTrainable::parameters() {
  std::vector<nn::TrainedParameter> parameters;
  for (tile::LearnedValue& value : layer_.values())
    parameters.push_back({std::move(value.name), kind_of(value.kind), value.value, value.gradient});
  return parameters;
}

}  // namespace tessera::sim
