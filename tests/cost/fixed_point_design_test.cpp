// Do the widths of a fixed-point periphery reach the cost of its multiplier, bias, accumulator and output?
#include <gmock/gmock.h>

#include "tessera/core/error.hpp"
#include "tessera/cost/design.hpp"
#include "tessera/cost/network_cost.hpp"
#include "tessera/tile/fixed_point.hpp"

namespace tessera::cost {
namespace {

using tile::FixedPointParameter;

struct FixedPointDesign : testing::Test {
  ComponentValues nominal = ComponentTable().nominal();

  static TileDesign design(const FixedPointParameter& p) {
    tile::RpuParameters rpu;
    rpu.forward.noise_management = tile::NoiseManagementType::NONE;
    rpu.forward.inp_res = rpu.forward.out_res = 254.0;
    rpu.pre_post.fixed_point = p;
    LayerSurroundings surroundings;
    surroundings.next_input_bits = 8;
    ProductShape product;
    product.inputs = 100;
    product.outputs = 50;
    product.bias = true;
    return tile_groups({}, rpu, product, surroundings).front().tile;
  }
  EnergyBreakdown energy(const FixedPointParameter& p) const { return tile_cost(design(p), nominal).energy_fJ; }
  double area(const FixedPointParameter& p) const { return tile_cost(design(p), nominal).area_um2.total(); }
};

TEST_F(FixedPointDesign, WidthsAreThoseOfTheFormats) {
  FixedPointParameter p;
  p.scale = {.integer_bits = 1, .fraction_bits = 5, .is_signed = true};
  p.bias = {.integer_bits = 6, .fraction_bits = 2};
  p.accumulator.bits = 21;
  p.output.bits = 6;
  const TileDesign d = design(p);
  EXPECT_EQ(d.scale_bits, 7);
  EXPECT_EQ(d.bias_bits, 9);
  EXPECT_EQ(d.accumulator_bits, 21);
  EXPECT_EQ(d.activation_bits, 6);
  EXPECT_TRUE(d.power_of_two) << "the step of the output is in the multiplier";
  EXPECT_EQ(periphery_widths(d).accumulator, 21);
  EXPECT_EQ(periphery_widths(d).result, 6);
  p.output.bits = 0;
  EXPECT_EQ(design(p).activation_bits, 21) << "the accumulator as it is";
  p.recompute_on_drift = false;
  p.alpha = {.integer_bits = 1, .fraction_bits = 4};
  EXPECT_EQ(design(p).scale_bits, 7 + 5) << "a second multiplier";
  p.arithmetic = tile::PeripheryArithmetic::binary16;
  EXPECT_EQ(design(p).scale_bits, 0) << "counted as float32";
}

// From section 3.6 with the 28 nm and 8-bit ADC left out: energies are linear in each width.
TEST_F(FixedPointDesign, EachWidthCostsWhereItStands) {
  const FixedPointParameter usual;
  const EnergyBreakdown before = energy(usual);
  using enum EnergyComponent;
  const double unit = before[scale] / (8.0 * 8.0 * nominal[Component::digital_mul_fJ_bit2] +
                                       8.0 * nominal[Component::digital_reg_fJ_bit]);
  FixedPointParameter narrow = usual;
  narrow.scale.fraction_bits = 3;
  EXPECT_NEAR(energy(narrow)[scale] / before[scale], 0.5, 1e-12);
  EXPECT_LT(area(narrow), area(usual));
  narrow = usual;
  narrow.accumulator.bits = 18;
  EXPECT_NEAR(before[bias_accumulate] - energy(narrow)[bias_accumulate],
              unit * 6.0 * (nominal[Component::digital_add_fJ_bit] + nominal[Component::digital_reg_fJ_bit]), 1e-9);
  narrow = usual;
  narrow.bias.integer_bits = 3;
  EXPECT_NEAR(before[bias_accumulate] - energy(narrow)[bias_accumulate],
              unit * 4.0 * nominal[Component::digital_reg_fJ_bit], 1e-9);
  narrow = usual;
  narrow.output.bits = 4;
  EXPECT_NEAR(before[activation] - energy(narrow)[activation], unit * 4.0 * nominal[Component::digital_reg_fJ_bit],
              1e-9);
  EXPECT_DOUBLE_EQ(energy(narrow)[scale], before[scale]);
}

TEST_F(FixedPointDesign, RealNumbersHaveNoCost) {
  FixedPointParameter p;
  p.accumulator.exact = true;
  try {
    design(p);
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().front().key, "rpu_config.pre_post.fixed_point.accumulator.exact");
  }
}

}  // namespace
}  // namespace tessera::cost
