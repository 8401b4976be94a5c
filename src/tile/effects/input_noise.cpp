#include "tile/effects/law.hpp"

namespace tessera::tile {
namespace {

// z += inp_noise xi, behind the DAC's bound.
void add_noise(const Stage& stage, kernels::DacBlock& block) {
  block.noise = stage.normals(random::Purpose::input_noise, block.x.cols, stage.scratch.draws);
  block.noise_std = static_cast<float>(stage.io.inp_noise);
}

const EffectLaw law{.acts = [](const IOParameters& io, const FrozenDraws&) { return io.inp_noise > 0.0; },
                    .dac = add_noise};

}  // namespace

std::vector<Effect> input_noise() {
  return {{.name = "input noise",
           .place = 22,
           .page = "tile_converters.md",
           .law = "z += inp_noise xi",
           .keys = {key<&IOParameters::inp_noise>("inp_noise", non_negative, {0.1})},
           .is_on = [](const AnalogParameters& p) { return p.rpu.forward.inp_noise > 0.0; },
           .leave_out = [](AnalogParameters& p) { p.rpu.forward.inp_noise = 0.0; },
           .needs = analog_needs(),
           .act = &law}};
}

}  // namespace tessera::tile
