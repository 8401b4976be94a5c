#pragma once
#include <array>
#include <cstddef>
#include <string_view>

/// Energy, time and area by component. Sums run in the order of the enumerations, so that they are the same everywhere.
namespace tessera::cost {

enum class EnergyComponent : std::size_t {
  array,
  row_lines,
  column_lines,
  dac,
  sample_hold,
  adc,
  shift_add,
  scale,
  bias_accumulate,
  activation,
  noise_management,
  digital_mac,
  buffer,
  network,
  control,
  leakage
};
inline constexpr std::size_t energy_component_count = 16;

enum class AreaComponent : std::size_t { array, row_drivers, dac, adc, sample_hold, digital, buffer, control };
inline constexpr std::size_t area_component_count = 8;

/// As in result files: "array", "row_lines", ..., "static".
std::string_view name_of(EnergyComponent component);
std::string_view name_of(AreaComponent component);

/// A value for every component.
template <class Name, std::size_t count>
struct Breakdown {
  std::array<double, count> value{};

  double operator[](Name name) const { return value[static_cast<std::size_t>(name)]; }
  double& operator[](Name name) { return value[static_cast<std::size_t>(name)]; }
  double total() const {
    double sum = 0.0;
    for (const double part : value) sum += part;
    return sum;
  }
  Breakdown& operator+=(const Breakdown& other) {
    for (std::size_t i = 0; i < count; ++i) value[i] += other.value[i];
    return *this;
  }
  Breakdown& operator*=(double factor) {
    for (double& part : value) part *= factor;
    return *this;
  }
  bool operator==(const Breakdown&) const = default;
};

using EnergyBreakdown = Breakdown<EnergyComponent, energy_component_count>;
using AreaBreakdown = Breakdown<AreaComponent, area_component_count>;

struct TimeBreakdown {
  double analog_ns = 0.0;      ///< rows driven
  double conversion_ns = 0.0;  ///< 0 for a counting converter, which converts meanwhile
  double digital_ns = 0.0;
  double vector_ns = 0.0;    ///< of one vector: the sum
  double interval_ns = 0.0;  ///< to the next vector: the sum, or with overlap the largest part
};

}  // namespace tessera::cost
