#include "scalars.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>

namespace tessera::config {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_decimal_integer(const std::string& text) {
  const std::size_t start = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  if (start == text.size() || (text[start] == '0' && text.size() > start + 1)) return false;
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(start), text.end(), is_digit);
}

bool is_decimal_real(const std::string& text) {
  std::size_t i = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  const auto digits = [&] {
    const std::size_t start = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i - start;
  };
  std::size_t mantissa = digits();
  if (i < text.size() && text[i] == '.') {
    ++i;
    mantissa += digits();
  }
  if (mantissa == 0) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

template <class T>
Parsed<T> convert(const std::string& text) {
  Parsed<T> result;
  const char* first = text.data() + (text[0] == '+' ? 1 : 0);
  const auto [end, error] = std::from_chars(first, text.data() + text.size(), result.value);
  result.overflow = error != std::errc() || end != text.data() + text.size();
  return result;
}

}  // namespace

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::optional<bool> parse_boolean(const std::string& text) {
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

std::optional<Parsed<std::int64_t>> parse_integer(const std::string& text) {
  if (!is_decimal_integer(text)) return std::nullopt;
  return convert<std::int64_t>(text);
}

std::optional<Parsed<std::uint64_t>> parse_unsigned(const std::string& text) {
  if (!is_decimal_integer(text)) return std::nullopt;
  return convert<std::uint64_t>(text);
}

std::optional<Parsed<double>> parse_real(const std::string& text) {
  if (is_decimal_real(text)) return convert<double>(text);
  std::string word = lower_case(text);
  double sign = 1.0;
  if (!word.empty() && (word[0] == '-' || word[0] == '+')) {
    sign = word[0] == '-' ? -1.0 : 1.0;
    word.erase(0, 1);
  }
  if (!word.empty() && word[0] == '.') word.erase(0, 1);
  if (word == "inf" || word == "infinity") return Parsed<double>{sign * std::numeric_limits<double>::infinity(), false};
  if (word == "nan") return Parsed<double>{std::numeric_limits<double>::quiet_NaN(), false};
  return std::nullopt;
}

}  // namespace tessera::config
