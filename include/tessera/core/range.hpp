#pragma once
#include <limits>
#include <string>

namespace tessera {

/// The legal values of a number. Numbers are finite, but for keys that have a use for infinity, and fit float32.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;  ///< the end itself is illegal
  bool high_open = false;
  bool infinity = false;  ///< .inf is legal

  static constexpr Range at_least(double low) { return {.low = low}; }
  static constexpr Range above(double low) { return {.low = low, .low_open = true}; }
  static constexpr Range or_infinite() { return {.infinity = true}; }
  static constexpr Range between(double low, double high) { return {.low = low, .high = high}; }

  bool is_everything() const { return low == -std::numeric_limits<double>::infinity() && high == -low; }
  bool contains(double value) const;
  std::string text() const;  ///< ">= 0", "0 to 1", "> 0 and < 1"
};

}  // namespace tessera
