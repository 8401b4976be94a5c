#pragma once
#include <yaml-cpp/yaml.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/tensor.hpp"

/// Reading of the golden JSON files: arrays are {"shape": [..], "f32": "hex words"}.
namespace tessera::quant::testing {

inline YAML::Node load_golden(const std::string& name) {
  const char* folder = std::getenv("TESSERA_GOLDEN_DIR");
  return YAML::LoadFile((folder != nullptr ? std::string(folder) : TESSERA_SOURCE_DIR + "/tests/data/golden") + "/" +
                        name);
}

inline std::vector<float> floats(const YAML::Node& node) {
  const std::string hex = node["f32"].as<std::string>();
  std::vector<float> values;
  for (std::size_t i = 0; i + 8 <= hex.size(); i += 8) {
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(std::stoul(hex.substr(i, 8), nullptr, 16))));
  }
  return values;
}

inline Tensor tensor(const YAML::Node& node) {
  Shape shape;
  for (const YAML::Node& extent : node["shape"]) shape.push_back(extent.as<std::int64_t>());
  const std::vector<float> values = floats(node);
  return {shape, values};
}

/// Equal bits; all NaNs are one value.
inline bool same_bits(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

/// Distance in units of the last place; -0 and +0 coincide.
inline std::int64_t ulp_distance(float a, float b) {
  const auto ordered = [](float v) {
    const auto bits = std::bit_cast<std::int32_t>(v);
    return static_cast<std::int64_t>(bits < 0 ? std::int32_t(0x80000000u) - bits : bits);
  };
  return std::abs(ordered(a) - ordered(b));
}

/// The number of elements that differ in a bit; different lengths differ everywhere.
inline std::size_t bit_mismatches(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return a.size() + b.size();
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += same_bits(a[i], b[i]) ? 0 : 1;
  return count;
}

}  // namespace tessera::quant::testing
