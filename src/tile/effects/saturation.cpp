#include <cmath>
#include <numeric>

#include "tile/effects/law.hpp"

namespace tessera::tile {
namespace {

// k_i = |(out_nonlinearity / B)(1 + out_nonlinearity_std xi_i)|,  F = (1 + (mean k + r_series) slope_calibration B)^2,
// B the output bound, 1 if that is infinite.
void draw(const IOParameters& io, std::int64_t outputs, std::int64_t, const random::Address& address,
          FrozenDraws& frozen) {
  if (io.out_nonlinearity <= 0.0 && io.r_series <= 0.0) return;
  const auto bound = static_cast<float>(bounded(io.out_bound) ? io.out_bound : 1.0);
  frozen.out_nonlinearity.resize(static_cast<std::size_t>(outputs));
  random::fill_normal(random::Stream(address, random::Purpose::output_nonlinearity), 0, 0, frozen.out_nonlinearity);
  const float mean = static_cast<float>(io.out_nonlinearity) / bound;
  const auto spread = static_cast<float>(io.out_nonlinearity_std);
  for (float& k : frozen.out_nonlinearity) k = std::fabs(mean * (1.0F + spread * k));
  if (io.slope_calibration <= 0.0) return;
  float mean_k = 0.0F;
  if (io.out_nonlinearity > 0.0) {
    mean_k = std::accumulate(frozen.out_nonlinearity.begin(), frozen.out_nonlinearity.end(), 0.0F) /
             static_cast<float>(outputs);
  }
  const float slope =
      1.0F + (mean_k + static_cast<float>(io.r_series)) * static_cast<float>(io.slope_calibration) * bound;
  frozen.out_nonlinearity_factor = slope * slope;
}

// v = F v / (1 + |k v|)
void saturate(const Stage& stage, MatrixView v, Matrix* slope) {
  const float factor = stage.frozen.out_nonlinearity_factor;
  const float* k = stage.frozen.out_nonlinearity.data();
  apply(v, slope, [=](float t, std::int64_t i, auto& d) {
    const float damping = 1.0F + std::fabs(k[i] * t);
    d = factor / (damping * damping);
    return factor * t / damping;
  });
}

double saturate_reference(const IOParameters&, const FrozenDraws& frozen, std::size_t output, double v) {
  if (!frozen.saturates()) return v;
  const auto k = static_cast<double>(frozen.out_nonlinearity[output]);
  return static_cast<double>(frozen.out_nonlinearity_factor) * v / (1.0 + std::fabs(k * v));
}

bool calibrates_resistance(const RpuParameters& p) {
  return p.forward.r_series > 0.0 && p.forward.slope_calibration > 0.0;
}

const EffectLaw law{.freeze = draw,
                    .acts = [](const IOParameters&, const FrozenDraws& frozen) { return frozen.saturates(); },
                    .outputs = saturate};

}  // namespace

std::vector<Effect> saturation() {
  Effect effect{.name = "saturation",
                .place = 60,
                .page = "tile_nonidealities.md",
                .law = "v = F v / (1 + |k v|)",
                .keys = {key<&IOParameters::out_nonlinearity>("out_nonlinearity", non_negative, {0.4}),
                         key<&IOParameters::out_nonlinearity_std>("out_nonlinearity_std", non_negative, {0.2}),
                         key<&IOParameters::slope_calibration>("slope_calibration", non_negative, {0.5})},
                .is_on =
                    [](const AnalogParameters& p) {
                      return p.rpu.forward.out_nonlinearity > 0.0 || calibrates_resistance(p.rpu);
                    },
                .leave_out =
                    [](AnalogParameters& p) {
                      IOParameters& io = p.rpu.forward;
                      io.out_nonlinearity = io.out_nonlinearity_std = io.slope_calibration = 0.0;
                    },
                .note =
                    [](const RpuParameters& p, EffectNotes& notes) {
                      const IOParameters &io = p.forward, &d = default_parameters.forward;
                      notes.unless(io.out_nonlinearity > 0.0, "forward.out_nonlinearity_std", io.out_nonlinearity_std,
                                   d.out_nonlinearity_std, "out_nonlinearity is 0");
                      notes.unless(io.out_nonlinearity > 0.0 || io.r_series > 0.0, "forward.slope_calibration",
                                   io.slope_calibration, d.slope_calibration, "out_nonlinearity and r_series are 0");
                    },
                .needs = analog_needs(),
                .act = &law,
                .column_reference = saturate_reference};
  effect.needs.push_back({"ADC clip"});  // the law is relative to its bound
  effect.needs.push_back({"offsets, series resistance", calibrates_resistance});
  return {effect};
}

}  // namespace tessera::tile
