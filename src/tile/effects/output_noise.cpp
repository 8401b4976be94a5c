#include <cmath>

#include "tile/effects/law.hpp"

namespace tessera::tile {
namespace {

// n_i = |out_noise (1 + out_noise_std xi_i)|
void draw(const IOParameters& io, std::int64_t outputs, std::int64_t, const random::Address& address,
          FrozenDraws& frozen) {
  if (io.out_noise_std <= 0.0) return;
  frozen.out_noise_values.resize(static_cast<std::size_t>(outputs));
  random::fill_normal(random::Stream(address, random::Purpose::output_noise_spread), 0, 0, frozen.out_noise_values);
  const auto spread = static_cast<float>(io.out_noise_std);
  for (float& n : frozen.out_noise_values) n = std::fabs(static_cast<float>(io.out_noise) * (1.0F + spread * n));
}

// v_i += n_i xi_i
void add_noise(const Stage& stage, kernels::AdcBlock& block) {
  block.noise = stage.normals(random::Purpose::output_noise, block.v.cols, stage.scratch.draws);
  block.noise_std = static_cast<float>(stage.io.out_noise);
  block.noise_stds = stage.frozen.out_noise_values.empty() ? nullptr : stage.frozen.out_noise_values.data();
}

const EffectLaw law{
    .freeze = draw,
    .acts = [](const IOParameters& io,
               const FrozenDraws& frozen) { return io.out_noise > 0.0 || !frozen.out_noise_values.empty(); },
    .adc = add_noise};

}  // namespace

std::vector<Effect> output_noise() {
  return {
      {.name = "output noise",
       .place = 70,
       .page = "tile_converters.md",
       .law = "v_i += n_i xi_i",
       .keys = {key<&IOParameters::out_noise>("out_noise", non_negative, {0.0, 0.02}),
                key<&IOParameters::out_noise_std>("out_noise_std", non_negative, {0.5})},
       .is_on =
           [](const AnalogParameters& p) { return p.rpu.forward.out_noise > 0.0 || p.rpu.forward.out_noise_std > 0.0; },
       .leave_out = [](AnalogParameters& p) { p.rpu.forward.out_noise = p.rpu.forward.out_noise_std = 0.0; },
       .note =
           [](const RpuParameters& p, EffectNotes& notes) {
             notes.unless(p.forward.out_noise > 0.0, "forward.out_noise_std", p.forward.out_noise_std,
                          default_parameters.forward.out_noise_std, "it is relative to out_noise, which is 0");
           },
       .needs = analog_needs(),
       .act = &law}};
}

}  // namespace tessera::tile
