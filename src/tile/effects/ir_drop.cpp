#include "tile/effects/law.hpp"

// Quadratic IR drop; the law belongs to the engine (tile/packed_engine.hpp), which computes it in its sweep over the
// weights.
namespace tessera::tile {

std::vector<Effect> ir_drop() {
  return {{.name = "IR drop",
           .place = 40,
           .page = "tile_nonidealities.md",
           .law = "v_i -= ir_drop C_i sum_j W_ij z_j P_j",
           .keys = {key<&IOParameters::ir_drop>("ir_drop", non_negative, {1.0}),
                    key<&IOParameters::ir_drop_g_ratio>("ir_drop_g_ratio", Range::above(0.0), {100.0})},
           .is_on = [](const AnalogParameters& p) { return p.rpu.forward.ir_drop > 0.0; },
           .leave_out = [](AnalogParameters& p) { p.rpu.forward.ir_drop = 0.0; },
           .note =
               [](const RpuParameters& p, EffectNotes& notes) {
                 notes.unless(p.forward.ir_drop > 0.0, "forward.ir_drop_g_ratio", p.forward.ir_drop_g_ratio,
                              default_parameters.forward.ir_drop_g_ratio, "ir_drop is 0");
               },
           .needs = analog_needs()}};
}

}  // namespace tessera::tile
