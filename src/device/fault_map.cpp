#include <algorithm>

#include "tessera/device/life_cycle.hpp"

namespace tessera::device {

FaultMap FaultMap::part(std::int64_t first_output, std::int64_t output_count, std::int64_t first_input,
                        std::int64_t input_count) const {
  require<InputError>(first_output >= 0 && output_count >= 0 && first_output + output_count <= outputs &&
                          first_input >= 0 && input_count >= 0 && first_input + input_count <= inputs,
                      "the fault map of {}x{} weights has no part {}+{} x {}+{}", outputs, inputs, first_output,
                      output_count, first_input, input_count);
  FaultMap result{.devices = devices, .outputs = output_count, .inputs = input_count, .faults = {}};
  result.faults.reserve(static_cast<std::size_t>(devices * output_count * input_count));
  for (std::int64_t d = 0; d < devices; ++d) {
    for (std::int64_t o = 0; o < output_count; ++o) {
      const auto row = faults.begin() + ((d * outputs + first_output + o) * inputs + first_input);
      result.faults.insert(result.faults.end(), row, row + input_count);
    }
  }
  return result;
}

FaultMap make_fault_map(const Shape& shape, std::span<const float> values) {
  require<InputError>(shape.size() == 3, "a fault map has the shape (devices, outputs, inputs), not {}",
                      to_string(shape));
  require<InputError>(element_count(shape) == static_cast<std::int64_t>(values.size()),
                      "a fault map of shape {} has {} values", to_string(shape), values.size());
  FaultMap result{.devices = shape[0], .outputs = shape[1], .inputs = shape[2], .faults = {}};
  result.faults.reserve(values.size());
  for (const float v : values) {
    require<InputError>(v == 0.0F || v == 1.0F || v == 2.0F,
                        "a fault map holds 0 (none), 1 (stuck at zero) or 2 (stuck at g_max), not {}", v);
    result.faults.push_back(static_cast<Fault>(static_cast<int>(v)));
  }
  return result;
}

}  // namespace tessera::device
