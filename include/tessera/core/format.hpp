#pragma once
#include <cstdint>
#include <string>

/// Numbers and words as people read them.
namespace tessera {

/// 1234567 -> "1,234,567".
std::string format_count(std::int64_t value);
/// 0.9813 -> "98.13 %"; "-" for NaN.
std::string format_percent(double fraction, int digits = 2);
/// "41.3"; "exact" for +infinity; "-" for NaN.
std::string format_decibel(double value);
/// 1234.5 -> "1,234"; 12.34 -> "12.3"; 0.0123 -> "0.0123": at least three digits, and never 0 for what is not.
std::string format_rate(double per_second);
/// "3 s", "2 min 05 s", "1 h 02 min".
std::string format_duration(double seconds);
/// A word as a shell would need it: quoted where it has to be.
std::string shell_quoted(const std::string& word);

}  // namespace tessera
