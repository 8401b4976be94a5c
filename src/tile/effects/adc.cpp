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

void note_bounds(const RpuParameters& p, EffectNotes& notes) {
  const IOParameters &io = p.forward, &d = default_parameters.forward;
  const bool managed = io.bound_management != BoundManagementType::NONE;
  const bool sums = io.noise_management == NoiseManagementType::ABS_MAX_NP_SUM;
  const char* unmanaged = "bound_management is NONE";
  notes.unless(managed, "forward.max_bm_factor", io.max_bm_factor, d.max_bm_factor, unmanaged);
  notes.unless(managed || sums, "forward.max_bm_res", io.max_bm_res, d.max_bm_res, unmanaged);
  notes.unless(managed, "forward.bm_test_negative_bound", io.bm_test_negative_bound, d.bm_test_negative_bound,
               unmanaged);
  notes.unless(!managed || bounded(io.out_bound), "forward.bound_management", io.bound_management,
               BoundManagementType::NONE, "there is no out_bound to exceed");
}

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
      .note =
          [](const RpuParameters& p, EffectNotes& notes) {
            notes.converter("out", p.forward.out_bound, p.forward.out_res, p.forward.out_sto_round);
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
           .note = note_bounds,
           .needs = analog_needs(),
           .act = &clipping},
          rounds};
}

}  // namespace tessera::tile
