// Is the range of a fixed-point output that of the activation quantizer, where the configuration says so?
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tessera/tile/fixed_point.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

RpuParameters quantized_outputs(int bits, bool symmetric) {
  RpuParameters p;
  p.forward.noise_management = NoiseManagementType::NONE;
  p.forward.bound_management = BoundManagementType::NONE;
  p.forward.out_noise = 0.0;
  p.forward.inp_res = p.forward.out_res = 254.0;
  p.forward.out_bound = 4.0;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.act_quant_config = ActivationQuantConfig{.n_bits = bits, .symmetric = symmetric};
  return p;
}

RpuParameters coded_outputs(int bits, bool symmetric) {
  RpuParameters p = quantized_outputs(bits, symmetric);
  p.pre_post.fixed_point.emplace().output.init_from = OutputRangeSource::act_quant_config;
  p.pre_post.fixed_point->scale.exponent = ScaleExponent::per_tile;
  return p;
}

AnalogLayer layer_with(const RpuParameters& p) {
  return {p, testing::normals(9, 20, 1, 0.4F).view(), testing::normals(1, 9, 2, 0.5F).values(), {.seed = 1}};
}

void estimate(AnalogLayer& layer, const Matrix& x) {
  std::vector<Matrix> outputs;
  std::vector<MatrixView> parts;
  outputs.reserve(static_cast<std::size_t>(layer.tile_count()));
  for (std::int64_t t = 0; t < layer.tile_count(); ++t)
    parts.push_back(outputs.emplace_back(Matrix(x.rows(), layer.place(t).outputs)).view());
  layer.tile_outputs(x.view(), parts, {});
  Matrix y(x.rows(), layer.outputs());
  layer.estimate_activation_ranges(parts, y.view());
}

TEST(OutputRange, ASymmetricQuantizerOfAsManyBitsGivesItsStep) {
  const Matrix x = testing::normals(40, 20, 3);
  for (const int max_inputs : {0, 7}) {
    RpuParameters quantized = quantized_outputs(8, true), coded = coded_outputs(8, true);
    quantized.mapping.max_input_size = coded.mapping.max_input_size = max_inputs;
    AnalogLayer from = layer_with(quantized), to = layer_with(coded);
    EXPECT_TRUE(to.needs_output_range());
    estimate(from, x);
    const LayerState found = from.state();
    const quant::UniformQuantizerState& range =
        max_inputs > 0 ? found.output_quantizer : found.tiles.front().output_quantizer;
    ASSERT_EQ(range.delta.size(), 1U);
    to.set_state(found);
    EXPECT_FALSE(to.needs_output_range());
    EXPECT_NEAR(to.output_step() / range.delta.front(), 1.0, 1e-6);
    // What it quantizes lies on the same grid, within what ADC and multiplier leave.
    const Matrix a = testing::run(from, x), b = testing::run(to, x);
    for (std::size_t i = 0; i < a.values().size(); ++i)
      EXPECT_NEAR(a.values()[i], b.values()[i], 4.0F * to.output_step());
  }
}

TEST(OutputRange, OfAnAsymmetricQuantizerTheLargerEndCounts) {
  const Matrix x = testing::normals(40, 20, 3);
  AnalogLayer layer = layer_with(coded_outputs(6, false));
  estimate(layer, x);
  const quant::UniformQuantizerState& range = layer.state().tiles.front().output_quantizer;
  ASSERT_EQ(range.x_min.size(), 1U);
  const float largest = std::max(std::fabs(range.x_min[0]), std::fabs(range.x_max[0]));
  EXPECT_NEAR(layer.output_range() / largest, 1.0, 0.02);  // ends lie on the grid of 63 steps
  EXPECT_NEAR(layer.output_step() * 127.0F / layer.output_range(), 1.0, 1e-6);
}

// The quantizer's estimator decides, and the codes are those of the fixed-point periphery, not of the quantizer.
TEST(OutputRange, ItsEstimatorDecides) {
  const Matrix x = testing::normals(40, 20, 3);
  RpuParameters extremes = coded_outputs(3, true), errors = extremes;
  errors.act_quant_config->range_estimator = quant::RangeEstimators::MSE;
  AnalogLayer wide = layer_with(extremes), narrow = layer_with(errors);
  estimate(wide, x);
  estimate(narrow, x);
  EXPECT_LT(narrow.output_step(), wide.output_step());
  const Matrix y = testing::run(wide, x);
  std::set<float> values(y.values().begin(), y.values().end());
  EXPECT_GT(values.size(), 8U) << "8 output bits, not 3 of the quantizer";
  AnalogLayer trained = layer_with(extremes);
  Matrix out(40, 9);
  trained.forward_training(x.view(), out.view(), {});
  EXPECT_FALSE(trained.needs_output_range());
}

}  // namespace
}  // namespace tessera::tile
