#pragma once
#include <cstdint>
#include <string>

namespace tessera::cli {

/// 1234567 -> "1,234,567".
std::string format_count(std::int64_t value);
/// 0.9813 -> "98.13 %".
std::string format_percent(double fraction, int digits = 2);
/// "41.3"; "exact" for +infinity; "-" for NaN.
std::string format_decibel(double value);

}  // namespace tessera::cli
