#include "tessera/sim/quantizer_ranges.hpp"

#include <cmath>

#include "tessera/core/error.hpp"

namespace tessera::sim {

namespace {

const std::string prefix = "quantization.";

std::vector<double> as_numbers(const QuantizerRange& range) {
  std::vector<double> numbers{static_cast<double>(range.quantizer.n_bits),
                              range.quantizer.method == quant::QMethod::asymmetric_uniform ? 1.0 : 0.0,
                              range.quantizer.scale_domain == quant::ScaleDomain::log ? 1.0 : 0.0,
                              range.state.is_signed ? 1.0 : 0.0, static_cast<double>(range.state.delta.size())};
  numbers.insert(numbers.end(), range.state.delta.begin(), range.state.delta.end());
  numbers.insert(numbers.end(), range.state.zero_float.begin(), range.state.zero_float.end());
  return numbers;
}

QuantizerRange as_range(const std::string& node, const std::string& tensor, const std::vector<double>& numbers) {
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
  range.quantizer.n_bits = static_cast<int>(numbers[0]);
  range.quantizer.method = asymmetric ? quant::QMethod::asymmetric_uniform : quant::QMethod::symmetric_uniform;
  range.quantizer.scale_domain = numbers[2] == 1.0 ? quant::ScaleDomain::log : quant::ScaleDomain::linear;
  range.quantizer.per_channel = steps > 1;
  range.state.is_signed = numbers[3] == 1.0;
  for (std::size_t i = head; i < numbers.size(); ++i)
    (i < head + steps ? range.state.delta : range.state.zero_float).push_back(static_cast<float>(numbers[i]));
  return range;
}

}  // namespace

void add_numbers(const QuantizerRanges& ranges, std::map<std::string, io::LayerNumbers>& calibration) {
  for (const auto& [node, tensors] : ranges)
    for (const auto& [tensor, range] : tensors) calibration[node][prefix + tensor] = as_numbers(range);
}

bool is_quantizer_range(const std::string& name) {
  return name.starts_with(prefix);
}

QuantizerRanges read_quantizer_ranges(const std::map<std::string, io::LayerNumbers>& calibration) {
  QuantizerRanges ranges;
  for (const auto& [node, numbers] : calibration)
    for (const auto& [name, values] : numbers)
      if (is_quantizer_range(name)) {
        const std::string tensor = name.substr(prefix.size());
        ranges[node][tensor] = as_range(node, tensor, values);
      }
  return ranges;
}

}  // namespace tessera::sim
