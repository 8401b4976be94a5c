#include "tessera/quant/quantization_manager.hpp"

#include <utility>

namespace tessera::quant {

const char* to_string(Qstates state) {
  return qstate_names.at(static_cast<std::size_t>(state));
}

namespace {

RangeEstimatorParameters estimator_parameters(const QuantizationManagerParameters& p) {
  return {.estimator = p.init,
          .params = p.init_params.value_or(default_params(p.init)),
          .per_channel = p.quantizer.per_channel,
          .axis = p.quantizer.axis,
          .n_groups = p.n_groups};
}

const QuantizationManagerParameters& validated(const QuantizationManagerParameters& p) {
  validate(p);
  return p;
}

}  // namespace

void validate(const QuantizationManagerParameters& p, const std::string& key) {
  validate(p.quantizer, key);
  validate(estimator_parameters(p), key);
  if (p.x_min.has_value() != p.x_max.has_value()) {
    throw ConfigError(key + (p.x_min ? ".x_max" : ".x_min"), "only one bound of the range is given; give both or none");
  }
}

QuantizationManager::QuantizationManager(const QuantizationManagerParameters& parameters)
    : quantizer_(validated(parameters).quantizer), estimator_(estimator_parameters(parameters), parameters.quantizer) {
  if (parameters.x_min && parameters.x_max) {
    quantizer_.set_quant_range(*parameters.x_min, *parameters.x_max);
    state_ = Qstates::fix_ranges;
  }
}

void QuantizationManager::end_learning() {
  if (quantizer_.is_initialized()) quantizer_.make_range_trainable(false);
}

void QuantizationManager::estimate_ranges() {
  end_learning();
  state_ = Qstates::estimate_ranges;
}

void QuantizationManager::estimate_ranges_train() {
  end_learning();
  state_ = Qstates::estimate_ranges_train;
}

void QuantizationManager::fix_ranges() {
  if (!quantizer_.is_initialized()) throw QuantizerNotInitializedError();
  end_learning();
  state_ = Qstates::fix_ranges;
}

void QuantizationManager::learn_ranges() {
  quantizer_.make_range_trainable();
  state_ = Qstates::learn_ranges;
}

void QuantizationManager::reset_ranges() {
  estimator_.reset();
  quantizer_.reset();
  state_ = Qstates::estimate_ranges_train;
}

bool QuantizationManager::is_estimating(bool training) const {
  return state_ == Qstates::estimate_ranges || (state_ == Qstates::estimate_ranges_train && training);
}

void QuantizationManager::observe(const Shape& shape, std::span<const float> x, bool training) {
  if (!is_estimating(training)) return;
  const Range& range = estimator_.estimate(shape, x);
  quantizer_.set_quant_range(range.min, range.max);
}

void QuantizationManager::observe(const Tensor& x, bool training) {
  observe(x.shape(), x.values(), training);
}

void QuantizationManager::forward(const Shape& shape, std::span<const float> x, std::span<float> y) const {
  quantizer_.forward(shape, x, y);
}

Tensor QuantizationManager::forward(const Tensor& x) const {
  return quantizer_.forward(x);
}

Tensor QuantizationManager::quantize(const Tensor& x, bool training) {
  observe(x, training);
  return forward(x);
}

void QuantizationManager::set_quantizer_state(UniformQuantizerState state) {
  quantizer_.set_state(std::move(state));
}

}  // namespace tessera::quant
