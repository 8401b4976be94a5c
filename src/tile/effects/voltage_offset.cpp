#include <algorithm>
#include <cmath>

#include "tile/effects/law.hpp"

namespace tessera::tile {
namespace {

void draw(const IOParameters& io, std::int64_t outputs, std::int64_t, const random::Address& address,
          FrozenDraws& frozen) {
  if (io.v_offset_std <= 0.0 && io.r_series <= 0.0) return;
  frozen.v_offset.assign(static_cast<std::size_t>(outputs), 0.0F);
  if (io.v_offset_std <= 0.0) return;
  random::fill_normal(random::Stream(address, random::Purpose::voltage_offset), 0, 0, frozen.v_offset);
  for (float& o : frozen.v_offset) o = std::max(static_cast<float>(io.v_offset_std) * o, 0.0F);
}

// With sat(t) = t / (1 + R |t|) and t = -w0 sum z (reference section 4.6.2):
//     w0 = 0: v = (1 - o) sat(v);   R = 0: v = (1 - o) v - 2 o t;   else v = (1 - o) sat(v + t) - (1 + o) sat(t).
template <class Slope>
void offsets_of_row(const Stage& stage, float reference, std::span<float> v, float* slopes, float* slope_sums) {
  const auto r_series = static_cast<float>(stage.io.r_series);
  const auto w_min = static_cast<float>(stage.io.v_offset_w_min);
  const auto limited = [&](float t, Slope& slope) {
    const float d = 1.0F + r_series * std::fabs(t);
    slope = 1.0F / (d * d);
    return t / d;
  };
  for (std::size_t i = 0; i < v.size(); ++i) {
    const float o = stage.frozen.v_offset[i];
    Slope slope{}, at_reference{};
    if (w_min == 0.0F)
      v[i] = (1.0F - o) * limited(v[i], slope);
    else if (r_series > 0.0F)
      v[i] = (1.0F - o) * limited(v[i] + reference, slope) - (1.0F + o) * limited(reference, at_reference);
    else
      v[i] = (1.0F - o) * v[i] - 2.0F * o * reference;
    if constexpr (std::is_same_v<Slope, float>) {
      if (r_series <= 0.0F) slope = at_reference = 1.0F;
      const float by_v = (1.0F - o) * slope;
      slopes[i] *= by_v;
      slope_sums[i] = slope_sums[i] * by_v;
      if (w_min != 0.0F) slope_sums[i] -= w_min * (by_v - (1.0F + o) * at_reference);
    }
  }
}

void offsets_and_series(const Stage& stage, ConstMatrixView z, MatrixView v, PhaseTrace* record) {
  const auto w_min = static_cast<float>(stage.io.v_offset_w_min);
  for (std::int64_t r = 0; r < v.rows; ++r) {
    double sum = 0.0;
    for (const float t : z.row_span(r)) sum += static_cast<double>(t);
    const float reference = -w_min * static_cast<float>(sum);
    if (record == nullptr)
      offsets_of_row<NoSlope>(stage, reference, v.row_span(r), nullptr, nullptr);
    else
      offsets_of_row<float>(stage, reference, v.row_span(r), record->slope.view().row(r),
                            record->slope_sum.view().row(r));
  }
}

const EffectLaw law{.freeze = draw,
                    .acts = [](const IOParameters&, const FrozenDraws& frozen) { return !frozen.v_offset.empty(); },
                    .columns = offsets_and_series};

}  // namespace

std::vector<Effect> voltage_offset() {
  return {
      {.name = "offsets, series resistance",
       .place = 45,
       .page = "tile_nonidealities.md",
       .law = "v = (1 - o) sat(v + t) - (1 + o) sat(t)",
       .keys = {key<&IOParameters::v_offset_std>("v_offset_std", non_negative, {0.05}),
                key<&IOParameters::v_offset_w_min>("v_offset_w_min", {}, {0.0}),
                key<&IOParameters::r_series>("r_series", non_negative, {0.02})},
       .is_on =
           [](const AnalogParameters& p) { return p.rpu.forward.v_offset_std > 0.0 || p.rpu.forward.r_series > 0.0; },
       .leave_out = [](AnalogParameters& p) { p.rpu.forward.v_offset_std = p.rpu.forward.r_series = 0.0; },
       .note =
           [](const RpuParameters& p, EffectNotes& notes) {
             notes.unless(p.forward.v_offset_std > 0.0 || p.forward.r_series > 0.0, "forward.v_offset_w_min",
                          p.forward.v_offset_w_min, default_parameters.forward.v_offset_w_min,
                          "v_offset_std and r_series are 0");
           },
       .needs = analog_needs(),
       .act = &law}};
}

}  // namespace tessera::tile
