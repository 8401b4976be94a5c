#include <cmath>

#include "tile/effects/law.hpp"

// How inputs pass through the array. Exact by itself: one pass, one for either sign, or digits of the DAC's codes.
namespace tessera::tile {
namespace {

// Steps from zero to the bound of a DAC with this resolution parameter; 0 without quantization.
double steps_to_bound(double resolution) {
  if (resolution <= 0.0) return 0.0;
  return 0.5 * (resolution > 1.0 ? resolution : 1.0 / resolution);
}

void check(const RpuParameters& p, EffectProblems& problems) {
  if (!sends_digits(p)) return;
  const IOParameters& io = p.forward;
  const bool split = io.mv_type == AnalogMVType::SPLIT_MODE;
  const char* mode = split ? "SPLIT_MODE" : "BIT_WISE";
  const double steps = steps_to_bound(io.inp_res);
  const bool whole = steps >= 1.0 && std::fabs(steps - std::rint(steps)) < 1e-6 * steps;
  problems.expect(bounded(io.inp_bound), "forward.inp_bound",
                  fmt::format("{} sends integer input codes and needs a bounded DAC (inp_bound > 0)", mode));
  problems.expect(whole && steps <= 32767.0, "forward.inp_res",
                  fmt::format("{} sends integer input codes: 1/inp_res must be an even number from 2 to 65534 (n "
                              "bits: 2^n - 2), not {}",
                              mode, io.inp_res > 1.0 ? io.inp_res : 1.0 / io.inp_res));
  if (!split || !whole) return;
  const int bits = static_cast<int>(std::ceil(std::log2(std::rint(steps) + 1.0)));
  problems.expect(io.split_mode_bit_shift >= 1 && io.split_mode_bit_shift < bits, "forward.split_mode_bit_shift",
                  fmt::format("{} must be from 1 to {}: a code has {} bits besides its sign", io.split_mode_bit_shift,
                              bits - 1, bits));
}

}  // namespace

std::vector<Effect> product() {
  return {{.name = "product",
           .place = 5,
           .page = "tile_encodings.md",
           .law = "v = W z in one pass, by sign, or digit by digit",
           .keys = {key<&IOParameters::is_perfect>("is_perfect", {}, {1.0}),
                    key<&IOParameters::mv_type>("mv_type", {}, {0.0, 2.0, 3.0, 4.0, 5.0}),
                    key<&IOParameters::split_mode_bit_shift>("split_mode_bit_shift", Range::between(1.0, 24.0), {4.0}),
                    key<&IOParameters::out_scale>("out_scale", {}, {2.5})},
           .check = check,
           .note =
               [](const RpuParameters& p, EffectNotes& notes) {
                 notes.unless(p.forward.mv_type == AnalogMVType::SPLIT_MODE, "forward.split_mode_bit_shift",
                              p.forward.split_mode_bit_shift, default_parameters.forward.split_mode_bit_shift,
                              "mv_type is not SPLIT_MODE");
               },
           .needs = {{"DAC", sends_digits}}}};
}

}  // namespace tessera::tile
