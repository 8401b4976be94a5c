#pragma once
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/core/problems.hpp"
#include "tessera/tile/effect_law.hpp"
#include "tile/effects/notes.hpp"
#include "tile/product_block.hpp"

/// Private: what a file of this folder is written with. It defines a function of its own name that returns its effects;
/// CMakeLists.txt makes the list from the folder.
namespace tessera::tile {

class EffectProblems : public Problems {
 public:
  /// That a key's value is a number within its range, and finite where it has to be.
  void check(const EffectKey& key, double value) {
    if (std::isnan(value) || (std::isinf(value) && !key.range.infinity))
      return add(key.key, fmt::format("{} is not a finite number", value));
    require(key.range.contains(value), key.key, "{} is out of range (must be {})", value, key.range.text());
  }
};

inline IOParameters& part(RpuParameters& p, IOParameters*) {
  return p.forward;
}
inline InputRangeParameter& part(RpuParameters& p, InputRangeParameter*) {
  return p.pre_post.input_range;
}
inline PeripheryQuantizationParameter& part(RpuParameters& p, PeripheryQuantizationParameter*) {
  return p.pre_post.periph_quant;
}
inline const char* prefix(IOParameters*) {
  return "forward.";
}
inline const char* prefix(InputRangeParameter*) {
  return "pre_post.input_range.";
}
inline const char* prefix(PeripheryQuantizationParameter*) {
  return "pre_post.periph_quant.";
}

/// The key of a member: key<&IOParameters::inp_noise>("inp_noise", Range::at_least(0), {0.1}).
template <auto member>
EffectKey key(const std::string& name, Range range = {}, std::vector<double> examples = {}, std::string help = {}) {
  const auto of = []<class P, class M>(M P::*) { return std::pair<P*, M*>(); };
  using Parameters = std::remove_pointer_t<typename decltype(of(member))::first_type>;
  using Member = std::remove_pointer_t<typename decltype(of(member))::second_type>;
  EffectKey k{prefix(static_cast<Parameters*>(nullptr)) + name, range, std::move(help), std::move(examples)};
  k.get = [](const RpuParameters& p) {
    return static_cast<double>(part(const_cast<RpuParameters&>(p), static_cast<Parameters*>(nullptr)).*member);
  };
  k.set = [](RpuParameters& p, double value) {
    part(p, static_cast<Parameters*>(nullptr)).*member = static_cast<Member>(value);
  };
  if constexpr (std::is_same_v<Parameters, IOParameters>)
    k.member = [](const IOParameters& io) -> const void* { return &(io.*member); };
  return k;
}

inline bool bounded(double bound) {
  return bound > 0.0 && std::isfinite(bound);
}
/// A step of the whole range leaves the level 0 alone: +-bound lie half way to the next ones.
inline void check_levels(const RpuParameters& p, double bound, double resolution, bool stochastic,
                         const std::string& key, EffectProblems& problems) {
  const bool perfect = p.forward.is_perfect || p.forward.mv_type == AnalogMVType::IDEAL;
  problems.expect(perfect || stochastic || !bounded(bound) || !(std::fabs(resolution - 1.0) <= 1e-6), key,
                  fmt::format("{} is a converter of one step over its range, whose only level is 0: nothing passes; n "
                              "bits are 2^n - 2 steps (8 bits: 254), -1 is no quantization",
                              resolution));
}
inline bool sends_digits(const RpuParameters& p) {
  return p.forward.mv_type == AnalogMVType::SPLIT_MODE || p.forward.mv_type == AnalogMVType::BIT_WISE;
}
/// What every effect between DAC and ADC stands on: the input range, whose units it is in, and the DAC, if inputs are
/// sent as digits of its codes.
inline std::vector<EffectNeed> analog_needs() {
  return {{"input clip"}, {"DAC", sends_digits}};
}
inline constexpr Range non_negative = Range::at_least(0.0);

}  // namespace tessera::tile
