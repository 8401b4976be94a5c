#include "tessera/core/range.hpp"

#include <fmt/core.h>

#include <cmath>

namespace tessera {
namespace {

std::string number_text(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15 ? fmt::format("{:.0f}", value) : fmt::format("{}", value);
}

}  // namespace

bool Range::contains(double value) const {
  const bool above = low_open ? value > low : value >= low;
  const bool below = high_open ? value < high : value <= high;
  return above && below;
}

std::string Range::text() const {
  const bool has_low = std::isfinite(low);
  const bool has_high = std::isfinite(high);
  if (has_low && has_high && !low_open && !high_open) return number_text(low) + " to " + number_text(high);
  std::string text;
  if (has_low) text = (low_open ? "> " : ">= ") + number_text(low);
  if (has_high) text += (has_low ? " and " : "") + std::string(high_open ? "< " : "<= ") + number_text(high);
  return text;
}

}  // namespace tessera
