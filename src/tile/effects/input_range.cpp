#include "tile/effects/law.hpp"

namespace tessera::tile {
namespace {

using P = InputRangeParameter;

void check(const RpuParameters& p, EffectProblems& problems) {
  problems.expect(p.pre_post.input_range.init_value > 0.0 || !p.pre_post.input_range.enable,
                  "pre_post.input_range.init_value",
                  fmt::format("{} must be positive", p.pre_post.input_range.init_value));
  problems.expect(!(p.pre_post.input_range.enable && p.pre_post.input_range.manage_output_clipping) ||
                      (p.forward.noise_management == NoiseManagementType::NONE &&
                       p.forward.bound_management == BoundManagementType::NONE && !p.forward.is_perfect),
                  "pre_post.input_range.manage_output_clipping",
                  "needs forward.noise_management and forward.bound_management NONE and is_perfect false: the output "
                  "bound must refer to the static input range");
}

}  // namespace

std::vector<Effect> input_range() {
  const Range fraction = Range::between(0.0, 1.0);
  return {{.name = "input clip",
           .place = 10,
           .page = "tile_mapping.md",
           .law = "x' = clamp(x, -r, r) / r",
           .keys = {key<&P::enable>("enable", {}, {1.0}), key<&P::init_value>("init_value"),
                    key<&P::learn_input_range>("learn_input_range"),
                    key<&P::init_from_data>("init_from_data", non_negative),
                    key<&P::init_std_alpha>("init_std_alpha", non_negative), key<&P::decay>("decay", non_negative),
                    key<&P::input_min_percentage>("input_min_percentage", fraction),
                    key<&P::manage_output_clipping>("manage_output_clipping", {}, {1.0}),
                    key<&P::output_min_percentage>("output_min_percentage", fraction),
                    key<&P::gradient_scale>("gradient_scale"), key<&P::gradient_relative>("gradient_relative")},
           .with_perfect_product = true,
           .is_on = [](const AnalogParameters& p) { return p.rpu.pre_post.input_range.enable; },
           .leave_out = [](AnalogParameters& p) { p.rpu.pre_post.input_range.enable = false; },
           .take_over = [](const AnalogParameters& from,
                           AnalogParameters& to) { to.rpu.pre_post.input_range = from.rpu.pre_post.input_range; },
           .check = check,
           .note =
               [](const RpuParameters& p, EffectNotes& notes) {
                 notes.unless(p.pre_post.input_range.enable, "pre_post.input_range.init_value",
                              p.pre_post.input_range.init_value, default_parameters.pre_post.input_range.init_value,
                              "input_range.enable is false");
               }}};
}

}  // namespace tessera::tile
