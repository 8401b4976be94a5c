#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "tessera/config/node.hpp"

/// What a plain scalar means. The rules are those of YAML 1.2's core schema, read strictly: true and false are the only
/// booleans, a leading zero or an underscore makes no number.
namespace tessera::config {

std::string lower_case(std::string text);

std::optional<bool> parse_boolean(const std::string& text);

/// A number too large for its type is recognised as a number and marked.
template <class T>
struct Parsed {
  T value{};
  bool overflow = false;
};

std::optional<Parsed<std::int64_t>> parse_integer(const std::string& text);
std::optional<Parsed<std::uint64_t>> parse_unsigned(const std::string& text);
/// Also ".inf" and ".nan" (with or without the dot, any case): numbers, though no parameter takes them.
std::optional<Parsed<double>> parse_real(const std::string& text);

}  // namespace tessera::config
