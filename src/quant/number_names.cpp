#include <algorithm>
#include <cmath>
#include <utility>

#include "tessera/core/problems.hpp"
#include "tessera/quant/number_format.hpp"

namespace tessera::quant {

namespace {

struct NamedNumber {
  std::string name;
  Number number;
};

// OCP: "OCP 8-bit Floating Point Specification (OFP8)" 1.0 and "Microscaling Formats (MX)" 1.0; fnuz: the formats of
// that name in ONNX and MLIR; bfloat16, fp16: IEEE 754 layouts.
const std::vector<NamedNumber>& named_numbers() {
  using Codes = SpecialCodes;
  static const std::vector<NamedNumber> all{
      {"fp32", std::monostate{}},
      {"tf32", HardwareFloat{8, 10, 127, Codes::ieee, false}},
      {"bfloat16", HardwareFloat{8, 7, 127, Codes::ieee, false}},
      {"fp16", HardwareFloat{5, 10, 15, Codes::ieee, false}},
      {"fp8_e5m2", HardwareFloat{5, 2, 15, Codes::ieee, false}},
      {"fp8_e5m2_sat", HardwareFloat{5, 2, 15, Codes::ieee, true}},
      {"fp8_e4m3", HardwareFloat{4, 3, 7, Codes::nan_only, false}},
      {"fp8_e4m3_sat", HardwareFloat{4, 3, 7, Codes::nan_only, true}},
      {"fp8_e5m2fnuz", HardwareFloat{5, 2, 16, Codes::negative_zero_nan, false}},
      {"fp8_e4m3fnuz", HardwareFloat{4, 3, 8, Codes::negative_zero_nan, false}},
      {"fp6_e3m2", HardwareFloat{3, 2, 3, Codes::none, false}},
      {"fp6_e2m3", HardwareFloat{2, 3, 1, Codes::none, false}},
      {"fp4_e2m1", HardwareFloat{2, 1, 1, Codes::none, false}},
      {"int2", IntegerNumber{2, true}},
      {"int3", IntegerNumber{3, true}},
      {"int4", IntegerNumber{4, true}},
      {"int8", IntegerNumber{8, true}},
      {"int16", IntegerNumber{16, true}},
      {"uint1", IntegerNumber{1, false}},
      {"uint2", IntegerNumber{2, false}},
      {"uint4", IntegerNumber{4, false}},
      {"uint8", IntegerNumber{8, false}},
      {"uint16", IntegerNumber{16, false}},
  };
  return all;
}

void within(Problems& problems, const char* name, int value, int low, int high, const char* why) {
  problems.require(value >= low && value <= high, name, "{} is outside {}..{} ({})", value, low, high, why);
}

void check(Problems&, const std::monostate&) {}

void check(Problems& problems, const FixedPoint& p) {
  within(problems, "wl", p.wl, 1, 32, "word length in bits");
  within(problems, "fl", p.fl, -64, 64, "fractional bits");
}

void check(Problems& problems, const BlockFloatingPoint& p) {
  within(problems, "wl", p.wl, 1, 22, "mantissa bits of a block held in float32");
  within(problems, "dim", p.dim, -1, 31, "-1 for one block, else the dimension with one block per index");
}

void check(Problems& problems, const FloatingPoint& p) {
  within(problems, "exp", p.exp, 1, 9, "exponent bits");
  within(problems, "man", p.man, 0, 23, "mantissa bits of float32");
}

void check(Problems& problems, const HardwareFloat& p) {
  within(problems, "exp", p.exp, 2, 8, "exponent bits");
  within(problems, "man", p.man, 1, 23, "mantissa bits of float32");
  if (!problems.empty()) return;
  const bool fits = p.bias <= 127 && p.bias >= -127 && p.largest() <= 3.4028234663852886e38;
  if (!fits) problems.add("bias", fmt::format("{} puts numbers outside float32", p.bias));
}

void check(Problems& problems, const IntegerNumber& p) {
  within(problems, "bits", p.bits, p.is_signed ? 2 : 1, 24, "integers that float32 holds exactly");
}

}  // namespace

void validate(const Number& number, const std::string& key) {
  Problems problems(key + ".");
  std::visit([&](const auto& p) { check(problems, p); }, number);
  problems.throw_if_any();
}

void validate(const LayerFormats& formats, const std::string& key) {
  validate(formats.weight, key + ".weight");
  validate(formats.activation, key + ".activation");
  validate(formats.accumulation, key + ".accumulation");
}

namespace {

const char* twice(bool double_rounding) {
  return double_rounding ? ", double_rounding=true" : "";
}
std::string text(const std::monostate&) {
  return "float32";
}
std::string text(const FixedPoint& p) {
  return fmt::format("fixed(wl={}, fl={}{}{}{})", p.wl, p.fl, p.clamp ? "" : ", clamp=false",
                     p.symmetric ? ", symmetric=true" : "", twice(p.double_rounding));
}
std::string text(const BlockFloatingPoint& p) {
  return fmt::format("block(wl={}, dim={}{})", p.wl, p.dim, twice(p.double_rounding));
}
std::string text(const FloatingPoint& p) {
  return fmt::format("float(exp={}, man={}{})", p.exp, p.man, twice(p.double_rounding));
}
std::string text(const HardwareFloat& p) {
  for (const NamedNumber& named : named_numbers()) {
    if (named.number == Number(p)) return named.name;
  }
  return fmt::format("hardware_float(exp={}, man={}, bias={})", p.exp, p.man, p.bias);
}
std::string text(const IntegerNumber& p) {
  return fmt::format("{}int{}", p.is_signed ? "" : "u", p.bits);
}

}  // namespace

std::string to_string(const Number& number) {
  return std::visit([](const auto& p) { return text(p); }, number);
}

const std::vector<std::string>& number_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const NamedNumber& named : named_numbers()) list.push_back(named.name);
    return list;
  }();
  return names;
}

Number named_number(const std::string& name, const std::string& key) {
  for (const NamedNumber& named : named_numbers()) {
    if (named.name == name) return named.number;
  }
  const std::string near = nearest_word(name, number_names());
  throw ConfigError(key, fmt::format("no number format is called '{}'{}", name,
                                     near.empty() ? "; see number_names()" : "; did you mean '" + near + "'?"));
}

}  // namespace tessera::quant
