#include "cli/format.hpp"

#include <fmt/format.h>

#include <cmath>

namespace tessera::cli {

std::string format_count(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t first = digits[0] == '-' ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string format_percent(double fraction, int digits) {
  if (std::isnan(fraction)) return "-";
  return fmt::format("{:.{}f} %", fraction * 100.0, digits);
}

std::string format_decibel(double value) {
  if (std::isnan(value)) return "-";
  if (std::isinf(value)) return value > 0 ? "exact" : "-inf";
  return fmt::format("{:.1f}", value);
}

}  // namespace tessera::cli
