#include "tile/effects/law.hpp"

// Gains that differ by sign: of inputs, of devices read with negative inputs, of column values.
namespace tessera::tile {
namespace {

void draw(const IOParameters& io, std::int64_t outputs, std::int64_t inputs, const random::Address& address,
          FrozenDraws& frozen) {
  const bool two_passes =
      io.mv_type == AnalogMVType::POS_NEG_SEPARATE || io.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
  if (io.w_read_asymmetry_dtod <= 0.0 || !two_passes) return;
  frozen.w_asymmetry = Matrix::uninitialized(outputs, inputs);
  random::fill_normal(random::Stream(address, random::Purpose::read_asymmetry), 0, 0, frozen.w_asymmetry.values());
  for (float& k : frozen.w_asymmetry.values()) k = 1.0F + static_cast<float>(io.w_read_asymmetry_dtod) * k;
}

void negative_inputs(const Stage& stage, kernels::DacBlock& block) {
  block.negative_factor = 1.0F - static_cast<float>(stage.io.inp_asymmetry);
}

void negative_outputs(const Stage& stage, MatrixView v, Matrix* slope) {
  const float factor = 1.0F - static_cast<float>(stage.io.out_asymmetry);
  apply(v, slope, [factor](float t, std::int64_t, auto& d) {
    d = t < 0.0F ? factor : 1.0F;
    return t < 0.0F ? t * factor : t;
  });
}

double negative_outputs_reference(const IOParameters& io, const FrozenDraws&, std::size_t, double v) {
  return v < 0.0 ? v * (1.0 - io.out_asymmetry) : v;
}

const EffectLaw inputs{.freeze = draw,
                       .acts = [](const IOParameters& io, const FrozenDraws&) { return io.inp_asymmetry != 0.0; },
                       .dac = negative_inputs};
const EffectLaw outputs{.acts = [](const IOParameters& io, const FrozenDraws&) { return io.out_asymmetry != 0.0; },
                        .outputs = negative_outputs};

}  // namespace

std::vector<Effect> asymmetry() {
  return {{.name = "input asymmetry",
           .place = 24,
           .page = "tile_converters.md",
           .law = "z < 0: z *= 1 - inp_asymmetry; negative inputs read W o K",
           .keys = {key<&IOParameters::inp_asymmetry>("inp_asymmetry", {}, {0.1}),
                    key<&IOParameters::w_read_asymmetry_dtod>("w_read_asymmetry_dtod", non_negative, {0.1})},
           .is_on =
               [](const AnalogParameters& p) {
                 return p.rpu.forward.inp_asymmetry != 0.0 || p.rpu.forward.w_read_asymmetry_dtod > 0.0;
               },
           .leave_out =
               [](AnalogParameters& p) { p.rpu.forward.inp_asymmetry = p.rpu.forward.w_read_asymmetry_dtod = 0.0; },
           .note =
               [](const RpuParameters& p, EffectNotes& notes) {
                 const AnalogMVType type = p.forward.mv_type;
                 notes.unless(
                     type == AnalogMVType::POS_NEG_SEPARATE || type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM,
                     "forward.w_read_asymmetry_dtod", p.forward.w_read_asymmetry_dtod,
                     default_parameters.forward.w_read_asymmetry_dtod,
                     "it is that of negative inputs read apart; mv_type is not POS_NEG_SEPARATE or "
                     "POS_NEG_SEPARATE_DIGITAL_SUM");
               },
           .needs = analog_needs(),
           .act = &inputs},
          {.name = "output asymmetry",
           .place = 65,
           .page = "tile_converters.md",
           .law = "v < 0: v *= 1 - out_asymmetry",
           .keys = {key<&IOParameters::out_asymmetry>("out_asymmetry", {}, {-0.1})},
           .is_on = [](const AnalogParameters& p) { return p.rpu.forward.out_asymmetry != 0.0; },
           .leave_out = [](AnalogParameters& p) { p.rpu.forward.out_asymmetry = 0.0; },
           .needs = analog_needs(),
           .act = &outputs,
           .column_reference = negative_outputs_reference}};
}

}  // namespace tessera::tile
