// Is a format of the fixed-point periphery that has no meaning refused, under the key that holds it?
#include <gtest/gtest.h>

#include "tessera/core/error.hpp"
#include "tile/fixed_point_layers.hpp"

namespace tessera::tile {
namespace {

using namespace fixed_point_layers;

struct Refused {
  const char* name;
  Change change;
  const char* key;
};
const Refused without_meaning[] = {
    {"scale of no bits", [](RpuParameters& p) { fixed_point_of(p).scale = {.integer_bits = 0, .fraction_bits = 0}; },
     "pre_post.fixed_point.scale.fraction_bits"},
    {"scale of 33 bits", [](RpuParameters& p) { fixed_point_of(p).scale = {.integer_bits = 1, .fraction_bits = 32}; },
     "pre_post.fixed_point.scale.fraction_bits"},
    {"scale of negative width",
     [](RpuParameters& p) { fixed_point_of(p).scale = {.integer_bits = -9, .fraction_bits = 7}; },
     "pre_post.fixed_point.scale.fraction_bits"},
    {"bias of 33 bits", [](RpuParameters& p) { fixed_point_of(p).bias = {.integer_bits = 16, .fraction_bits = 16}; },
     "pre_post.fixed_point.bias.fraction_bits"},
    {"output of 33 bits", [](RpuParameters& p) { fixed_point_of(p).output.bits = 33; },
     "pre_post.fixed_point.output.bits"},
    {"output of negative width", [](RpuParameters& p) { fixed_point_of(p).output.bits = -1; },
     "pre_post.fixed_point.output.bits"},
    {"signed output of 1 bit", [](RpuParameters& p) { fixed_point_of(p).output.bits = 1; },
     "pre_post.fixed_point.output.bits"},
    {"narrow accumulator", [](RpuParameters& p) { fixed_point_of(p).accumulator.bits = 15; },
     "pre_post.fixed_point.accumulator.bits"},
    {"no range", [](RpuParameters& p) { fixed_point_of(p).output.range = 0.0; }, "pre_post.fixed_point.output.range"},
    {"negative cut", [](RpuParameters& p) { fixed_point_of(p).product.cut = -1; }, "pre_post.fixed_point.product.cut"},
    {"scale by vector", [](RpuParameters& p) { p.forward.noise_management = NoiseManagementType::ABS_MAX; },
     "forward.noise_management"},
    {"worst case", [](RpuParameters& p) { p.forward.bound_management = BoundManagementType::ITERATIVE_WORST_CASE; },
     "forward.bound_management"},
    {"no ADC", [](RpuParameters& p) { p.forward.out_res = -1.0; }, "forward.out_res"},
    {"half codes", [](RpuParameters& p) { p.forward.out_res = 255.0; }, "forward.out_res"},
    {"perfect", [](RpuParameters& p) { p.forward.is_perfect = true; }, "forward.is_perfect"},
    {"two peripheries", [](RpuParameters& p) { p.pre_post.periph_quant.n_bits = 8; }, "pre_post.fixed_point"},
    {"two output quantizers", [](RpuParameters& p) { p.act_quant_config = ActivationQuantConfig{.n_bits = 8}; },
     "act_quant_config.n_bits"}};

TEST(FixedPointParameters, RefusesFormatsThatHaveNoMeaning) {
  ASSERT_NO_THROW(validate(fixed_point_layer()));
  for (const Refused& each : without_meaning) {
    RpuParameters p = fixed_point_layer();
    each.change(p);
    try {
      validate(p);
      ADD_FAILURE() << each.name;
    } catch (const ConfigError& error) {
      bool named = false;
      for (const Problem& problem : error.problems()) {
        named = named || problem.key == each.key;
        EXPECT_GT(problem.message.size(), 15U);
      }
      EXPECT_TRUE(named) << each.name << ": " << error.what();
    }
  }
}

TEST(FixedPointParameters, RefusesSignsThatAFormatCannotHold) {
  RpuParameters p = fixed_point_layer();
  fixed_point_of(p).bias.is_signed = false;
  EXPECT_THROW(layer_of(p), ConfigError);
  p = fixed_point_layer();
  p.forward.out_scale = -1.0;
  EXPECT_THROW(layer_of(p), ConfigError);
  fixed_point_of(p).scale.is_signed = true;
  EXPECT_NO_THROW(layer_of(p));
}

}  // namespace
}  // namespace tessera::tile
