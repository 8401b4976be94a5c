#include "tessera/core/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tessera {

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

std::string format_rate(double per_second) {
  if (!std::isfinite(per_second)) return "-";
  return per_second < 100.0 ? fmt::format("{:.3g}", per_second) : format_count(std::llround(std::floor(per_second)));
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string shell_quoted(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                          "._-/=,:+@%") == std::string::npos;
  if (plain) return word;
  std::string result = "'";
  for (const char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

}  // namespace tessera
