#include "tessera/sim/quantizer_ranges.hpp"

#include <cmath>

#include "tessera/core/error.hpp"

namespace tessera::sim {

namespace {

const std::string prefix = "quantization.", bounds_prefix = "quantizer_bounds.", law_prefix = "quantizer_law.";

std::vector<double> as_numbers(const QuantizerRange& range) {
  std::vector<double> numbers{static_cast<double>(range.law.quantizer.n_bits),
                              range.law.quantizer.method == quant::QMethod::asymmetric_uniform ? 1.0 : 0.0,
                              range.law.quantizer.scale_domain == quant::ScaleDomain::log ? 1.0 : 0.0,
                              range.state.is_signed ? 1.0 : 0.0, static_cast<double>(range.state.delta.size())};
  numbers.insert(numbers.end(), range.state.delta.begin(), range.state.delta.end());
  numbers.insert(numbers.end(), range.state.zero_float.begin(), range.state.zero_float.end());
  return numbers;
}

QuantizerRange as_range(const std::string& node, const std::string& tensor, const io::LayerNumbers& all) {
  const std::vector<double>& numbers = all.at(prefix + tensor);
  constexpr std::size_t head = 5;
  const auto expect = [&](bool condition) {
    require<InputError>(condition,
                        "the range of the {} of '{}' in the model file is damaged; calibrate again, or set "
                        "model.use_calibration: false",
                        tensor, node);
  };
  expect(numbers.size() > head && numbers[4] >= 1.0 && numbers[4] <= static_cast<double>(numbers.size()));
  for (const double value : numbers) expect(std::isfinite(value));
  for (const std::size_t flag : {1U, 2U, 3U}) expect(numbers[flag] == 0.0 || numbers[flag] == 1.0);
  const auto steps = static_cast<std::size_t>(numbers[4]);
  const bool asymmetric = numbers[1] == 1.0;
  expect(static_cast<double>(steps) == numbers[4] && numbers.size() == head + steps * (asymmetric ? 2 : 1));
  expect(numbers[0] >= 1.0 && numbers[0] <= quant::max_quantizer_bits && numbers[0] == std::floor(numbers[0]));
  QuantizerRange range;
  range.law.quantizer.n_bits = static_cast<int>(numbers[0]);
  range.law.quantizer.method = asymmetric ? quant::QMethod::asymmetric_uniform : quant::QMethod::symmetric_uniform;
  range.law.quantizer.scale_domain = numbers[2] == 1.0 ? quant::ScaleDomain::log : quant::ScaleDomain::linear;
  range.law.quantizer.per_channel = steps > 1;
  range.state.is_signed = numbers[3] == 1.0;
  for (std::size_t i = head; i < numbers.size(); ++i)
    (i < head + steps ? range.state.delta : range.state.zero_float).push_back(static_cast<float>(numbers[i]));
  if (const auto found = all.find(bounds_prefix + tensor); found != all.end()) {
    expect(found->second.size() == 2 * steps);
    for (std::size_t i = 0; i < 2 * steps; ++i)
      (i < steps ? range.state.x_min : range.state.x_max).push_back(static_cast<float>(found->second[i]));
  }
  if (const auto found = all.find(law_prefix + tensor); found != all.end()) {
    try {
      range.law = range_law(found->second);
    } catch (const InputError&) {
      expect(false);
    }
  }
  return range;
}

}  // namespace

void add_numbers(const QuantizerRanges& ranges, std::map<std::string, io::LayerNumbers>& calibration) {
  for (const auto& [node, tensors] : ranges)
    for (const auto& [tensor, range] : tensors) {
      io::LayerNumbers& numbers = calibration[node];
      numbers[prefix + tensor] = as_numbers(range);
      numbers[law_prefix + tensor] = to_numbers(range.law);
      std::vector<double> bounds(range.state.x_min.begin(), range.state.x_min.end());
      bounds.insert(bounds.end(), range.state.x_max.begin(), range.state.x_max.end());
      if (!bounds.empty()) numbers[bounds_prefix + tensor] = std::move(bounds);
    }
}

FittedRange fitted_range(const QuantizerRanges& ranges, const std::string& node, const std::string& tensor,
                         const quant::QuantizationManagerParameters& asked) {
  const auto layer = ranges.find(node);
  if (layer == ranges.end()) return {quant::UniformQuantizerState{}, "", ""};
  const auto range = layer->second.find(tensor);
  if (range == layer->second.end()) return {quant::UniformQuantizerState{}, "", ""};
  FittedRange fitted = fitted_range(range->second.state, range->second.law, range_law(asked));
  if (!fitted.state) fitted.reason = fmt::format("the range of the {} of layer '{}' {}", tensor, node, fitted.reason);
  return fitted;
}

bool is_quantizer_range(const std::string& name) {
  return name.starts_with(prefix) || name.starts_with(bounds_prefix) || name.starts_with(law_prefix);
}

QuantizerRanges read_quantizer_ranges(const std::map<std::string, io::LayerNumbers>& calibration) {
  QuantizerRanges ranges;
  for (const auto& [node, numbers] : calibration)
    for (const auto& entry : numbers)
      if (entry.first.starts_with(prefix)) {
        const std::string tensor = entry.first.substr(prefix.size());
        ranges[node][tensor] = as_range(node, tensor, numbers);
      }
  return ranges;
}

}  // namespace tessera::sim
