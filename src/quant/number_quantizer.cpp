#include "tessera/quant/number_quantizer.hpp"

#include <algorithm>
#include <utility>

namespace tessera::quant {

namespace {

bool is_none(const Number& number) {
  return std::holds_alternative<std::monostate>(number);
}

const QuantizerParameters& validated(const QuantizerParameters& parameters) {
  validate(parameters);
  return parameters;
}

}  // namespace

void validate(const QuantizerParameters& p, const std::string& key) {
  std::vector<Problem> problems;
  const auto collect = [&](const Number& number, const std::string& at) {
    try {
      validate(number, at);
    } catch (const ConfigError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  };
  collect(p.forward_number, key + ".forward_number");
  collect(p.backward_number, key + ".backward_number");
  if (p.clamping_grad_zero && !is_none(p.forward_number)) {
    const auto* fixed = std::get_if<FixedPoint>(&p.forward_number);
    if (fixed == nullptr || !fixed->clamp) {
      problems.push_back({.file = {},
                          .key = key + ".clamping_grad_zero",
                          .message = fmt::format("the forward number {} clamps nothing; use a fixed-point number with "
                                                 "clamp, or switch this off",
                                                 to_string(p.forward_number))});
    }
  }
  if (std::any_of(p.backward_hooks.begin(), p.backward_hooks.end(), [](const GradientHook& hook) { return !hook; })) {
    problems.push_back({.file = {}, .key = key + ".backward_hooks", .message = "an empty hook"});
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

Quantizer::Quantizer(QuantizerParameters parameters) : parameters_(std::move(parameters)) {
  validated(parameters_);
}

void Quantizer::forward(const Shape& shape, std::span<const float> x, std::span<float> y, const RandomDraws& draws,
                        std::vector<std::uint8_t>* mask) const {
  if (parameters_.clamping_grad_zero) {
    require<InputError>(mask != nullptr, "clamping_grad_zero needs a mask to remember clamped values in");
    mask->assign(x.size(), 0);
    if (const auto* fixed = std::get_if<FixedPoint>(&parameters_.forward_number)) {
      if (parameters_.forward_rounding == Rounding::nearest) {
        fixed_point_clamp_mask(*fixed, x, *mask);
      } else {
        std::vector<std::uint32_t> words(x.size());
        random::fill_bits(draws.stream, draws.event, draws.first, words);
        fixed_point_clamp_mask(*fixed, x, words, *mask);
        quantize_with_words(parameters_.forward_number, shape, x, words, y);
        return;
      }
    }
  }
  quantize(parameters_.forward_number, parameters_.forward_rounding, shape, x, y, draws);
}

Tensor Quantizer::forward(const Tensor& x, const RandomDraws& draws, std::vector<std::uint8_t>* mask) const {
  Tensor y = Tensor::uninitialized(x.shape());
  forward(x.shape(), x.values(), y.values(), draws, mask);
  return y;
}

void Quantizer::backward(const Shape& shape, std::span<const float> grad_y, std::span<float> grad_x,
                         const RandomDraws& draws, std::span<const std::uint8_t> mask) const {
  require<InputError>(grad_y.size() == grad_x.size(), "gradient of {} values with room for {}", grad_y.size(),
                      grad_x.size());
  require<InputError>(!parameters_.clamping_grad_zero || mask.size() == grad_y.size(),
                      "clamping_grad_zero needs the mask of the forward pass ({} values, {} given)", grad_y.size(),
                      mask.size());
  if (grad_x.data() != grad_y.data()) std::copy(grad_y.begin(), grad_y.end(), grad_x.begin());
  for (const GradientHook& hook : parameters_.backward_hooks) hook(grad_x);
  quantize(parameters_.backward_number, parameters_.backward_rounding, shape, grad_x, grad_x, draws);
  if (!parameters_.clamping_grad_zero) return;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0) grad_x[i] = 0.0f;
  }
}

Tensor Quantizer::backward(const Tensor& grad_y, const RandomDraws& draws, std::span<const std::uint8_t> mask) const {
  Tensor grad_x = Tensor::uninitialized(grad_y.shape());
  backward(grad_y.shape(), grad_y.values(), grad_x.values(), draws, mask);
  return grad_x;
}

}  // namespace tessera::quant
