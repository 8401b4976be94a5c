#pragma once
#include <limits>

namespace tessera::kernels {

/// Where a value ends: raised to `low` if it is below, then lowered to `high` if it is above; NaN is kept. Relu is
/// {0, infinity}.
struct Limits {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();

  bool any() const { return *this != Limits(); }
  float operator()(float x) const {
    const float raised = x < low ? low : x;
    return raised > high ? high : raised;
  }
  bool operator==(const Limits&) const = default;
};

inline constexpr Limits rectifier{0.0F, std::numeric_limits<float>::infinity()};

}  // namespace tessera::kernels
