#include "tile/effects/dac.hpp"

#include <cmath>
#include <limits>

#include "tile/effects/law.hpp"

namespace tessera::tile {
namespace {

void dac_law(const Stage& stage, kernels::DacBlock& block) {
  block.converter = stage.dac;
  if (stage.io.inp_sto_round && stage.dac.step > 0.0F)
    block.dither = stage.uniforms(random::Purpose::dac_rounding, block.x.cols, stage.scratch.dither);
}

const EffectLaw law{.acts = [](const IOParameters&, const FrozenDraws&) { return true; }, .dac = dac_law};

}  // namespace

void dac_slope(const IOParameters& io, const kernels::Converter& dac, ConstMatrixView x, float range, ConstMatrixView z,
               const float* scale, MatrixView dz) {
  const float factor = 1.0F - static_cast<float>(io.inp_asymmetry);
  // What rounds to a level beyond the bound is clipped.
  const float limit = dac.step > 0.0F ? (std::floor(dac.bound / dac.step + 1e-3F) + 0.5F) * dac.step : dac.bound;
  const float largest = range > 0.0F ? range : std::numeric_limits<float>::infinity();
  for (std::int64_t r = 0; r < dz.rows; ++r) {
    const float c = scale[r];
    const float below = factor * c;
    const float unit = range > 0.0F ? c / range : c;
    float* d = dz.row(r);
    const float* in = x.row(r);
    const float* out = z.row(r);
    for (std::int64_t k = 0; k < x.cols; ++k) {
      const float size = std::fabs(in[k]);
      const float slope = out[k] < 0.0F ? below : c;
      const float t = (size < largest ? size : largest) * unit;
      d[k] = t > limit ? 0.0F : d[k] * slope;
    }
  }
}

std::vector<Effect> dac() {
  return {{.name = "DAC",
           .place = 20,
           .page = "tile_converters.md",
           .law = "z = clamp(Delta rint(x c / Delta), -B, B)",
           .keys = {key<&IOParameters::inp_res>("inp_res", {}, {14.0, -1.0}),
                    key<&IOParameters::inp_bound>("inp_bound", Range::or_infinite(), {0.7, -1.0}),
                    key<&IOParameters::inp_sto_round>("inp_sto_round", {}, {1.0})},
           .is_on = [](const AnalogParameters& p) { return bounded(p.rpu.forward.inp_bound); },
           .leave_out =
               [](AnalogParameters& p) {
                 IOParameters& io = p.rpu.forward;
                 if (sends_digits(p.rpu)) io.mv_type = AnalogMVType::ONE_PASS;  // digits are those of its codes
                 io.inp_bound = 0.0;
                 io.inp_res = -1.0;
                 io.inp_sto_round = false;
               },
           .take_over =
               [](const AnalogParameters& from, AnalogParameters& to) {
                 const IOParameters& io = from.rpu.forward;
                 to.rpu.forward.mv_type = io.mv_type;
                 to.rpu.forward.inp_bound = io.inp_bound;
                 to.rpu.forward.inp_res = io.inp_res;
                 to.rpu.forward.inp_sto_round = io.inp_sto_round;
               },
           .check =
               [](const RpuParameters& p, EffectProblems& problems) {
                 check_levels(p, p.forward.inp_bound, p.forward.inp_res, p.forward.inp_sto_round, "forward.inp_res",
                              problems);
               },
           .note =
               [](const RpuParameters& p, EffectNotes& notes) {
                 notes.converter("inp", p.forward.inp_bound, p.forward.inp_res, p.forward.inp_sto_round);
               },
           .needs = analog_needs(),
           .act = &law}};
}

}  // namespace tessera::tile
