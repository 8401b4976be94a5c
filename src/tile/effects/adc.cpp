#include "tile/effects/law.hpp"

namespace tessera::tile {
namespace {

void clip(const Stage& stage, kernels::AdcBlock& block) {
  block.converter.bound = stage.adc.bound;
}

void round(const Stage& stage, kernels::AdcBlock& block) {
  block.converter.step = stage.adc.step;
  if (stage.io.out_sto_round)
    block.dither = stage.uniforms(random::Purpose::adc_rounding, block.v.cols, stage.scratch.dither);
}

const EffectLaw clipping{.acts = [](const IOParameters& io, const FrozenDraws&) { return bounded(io.out_bound); },
                         .adc = clip};
const EffectLaw rounding{
    .acts = [](const IOParameters& io, const FrozenDraws&) { return io.out_res > 0.0 && bounded(io.out_bound); },
    .adc = round};

}  // namespace

std::vector<Effect> adc() {
  Effect rounds{
      .name = "ADC rounding",
      .place = 85,
      .page = "tile_converters.md",
      .law = "v = Delta rint(v / Delta)",
      .keys = {key<&IOParameters::out_res>("out_res", {}, {-1.0, 30.0}),
               key<&IOParameters::out_sto_round>("out_sto_round", {}, {1.0})},
      .is_on =
          [](const AnalogParameters& p) { return p.rpu.forward.out_res > 0.0 && bounded(p.rpu.forward.out_bound); },
      .leave_out =
          [](AnalogParameters& p) {
            p.rpu.forward.out_res = -1.0;
            p.rpu.forward.out_sto_round = false;
            p.rpu.pre_post.fixed_point.reset();  // its codes are what that multiplies
          },
      .check =
          [](const RpuParameters& p, EffectProblems& problems) {
            check_levels(p, p.forward.out_bound, p.forward.out_res, p.forward.out_sto_round, "forward.out_res",
                         problems);
          },
      .needs = analog_needs(),
      .act = &rounding};
  rounds.needs.push_back({"ADC clip"});  // its steps divide the bound
  return {{.name = "ADC clip",
           .place = 80,
           .page = "tile_managements.md",
           .law = "v = clamp(v, -B, B); ITERATIVE: again with half the inputs",
           .keys = {key<&IOParameters::out_bound>("out_bound", Range::or_infinite(), {0.5, 0.0}),
                    key<&IOParameters::bound_management>("bound_management", {}, {0.0, 2.0, 3.0}),
                    key<&IOParameters::max_bm_factor>("max_bm_factor", non_negative, {2.0}),
                    key<&IOParameters::max_bm_res>("max_bm_res", Range::or_infinite(), {0.05}),
                    key<&IOParameters::bm_test_negative_bound>("bm_test_negative_bound", {}, {0.0})},
           .is_on = [](const AnalogParameters& p) { return bounded(p.rpu.forward.out_bound); },
           .leave_out =
               [](AnalogParameters& p) {
                 p.rpu.forward.out_bound = 0.0;
                 p.rpu.forward.bound_management = BoundManagementType::NONE;
                 p.rpu.pre_post.fixed_point.reset();
               },
           .check =
               [](const RpuParameters& p, EffectProblems& problems) {
                 problems.expect(p.forward.bound_management != BoundManagementType::SHIFT, "forward.bound_management",
                                 "SHIFT is defined nowhere (no implementation or publication says what is shifted); "
                                 "use ITERATIVE or NONE");
               },
           .needs = analog_needs(),
           .act = &clipping},
          rounds};
}

}  // namespace tessera::tile
