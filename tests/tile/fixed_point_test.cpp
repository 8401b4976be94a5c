// Does a layer with a fixed-point periphery compute with the integers it stores, whatever the formats?
#include "tessera/tile/fixed_point.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tessera/tile/effects.hpp"
#include "tessera/tile/learning.hpp"
#include "tile/fixed_point_layers.hpp"
#include "tile/fixed_point_periphery.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

using namespace fixed_point_layers;

// The outputs from the products of the tiles, by the reference.
Matrix by_reference(const AnalogLayer& layer, const Matrix& x) {
  Matrix v(x.rows(), layer.product_columns());
  layer.product(x.view(), v.view(), {});
  Matrix y(x.rows(), layer.outputs());
  for (std::int64_t r = 0; r < x.rows(); ++r)
    for (std::int64_t i = 0; i < layer.outputs(); ++i) {
      std::vector<kernels::FixedPointTerm> terms;
      std::int64_t bias = 0, column = 0;
      FixedPointReport report;
      for (std::int64_t t = 0; t < layer.tile_count(); ++t) {
        const TilePlace place = layer.place(t);
        const std::int64_t own = i - place.first_output;
        if (own >= 0 && own < place.outputs) {
          report = layer.fixed_point_report(t);
          const auto c = static_cast<std::size_t>(own);
          const bool at_tile = layer.parameters().pre_post.fixed_point->bias.at == BiasPlace::tile;
          terms.push_back(
              {static_cast<std::int64_t>(std::llrint(static_cast<double>(v(r, column + own)) / report.adc.step)),
               report.scale.code[c], report.scale.shift[c], at_tile ? report.bias.aligned[c] : 0});
          if (!at_tile && !report.bias.aligned.empty()) bias = report.bias.aligned[c];
        }
        column += place.outputs;
      }
      const std::int64_t o = kernels::reference::fixed_point_output(report.datapath, terms, bias);
      const auto u = static_cast<double>(report.output_step);
      y(r, i) =
          static_cast<float>(static_cast<double>(o) *
                             (report.datapath.output_bits > 0 ? u : std::ldexp(u, -report.datapath.fraction_bits)));
    }
  return y;
}

void expect_equal(const Matrix& a, const Matrix& b) {
  ASSERT_EQ(a.values().size(), b.values().size());
  for (std::size_t i = 0; i < a.values().size(); ++i) ASSERT_EQ(a.values()[i], b.values()[i]) << i;
}

double largest_error(const Matrix& a, const Matrix& b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.values().size(); ++i)
    largest = std::max(largest, std::fabs(static_cast<double>(a.values()[i]) - static_cast<double>(b.values()[i])));
  return largest;
}

double squared_error(const Matrix& a, const Matrix& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.values().size(); ++i) {
    const double e = static_cast<double>(a.values()[i]) - static_cast<double>(b.values()[i]);
    sum += e * e;
  }
  return sum;
}

const std::vector<std::pair<const char*, Change>> variants = {
    {"defaults", [](RpuParameters&) {}},
    {"seven tiles", [](RpuParameters& p) { p.mapping.max_input_size = 3; }},
    {"output parts", [](RpuParameters& p) { p.mapping.max_input_size = 8, p.mapping.max_output_size = 4; }},
    {"exponent per tile", [](RpuParameters& p) { fixed_point_of(p).scale.exponent = ScaleExponent::per_tile; }},
    {"exponent per column",
     [](RpuParameters& p) {
       fixed_point_of(p).scale.exponent = ScaleExponent::per_column;
       p.mapping.max_input_size = 7;
     }},
    {"cut",
     [](RpuParameters& p) { fixed_point_of(p).product = {.cut = 3, .rounding = FixedPointRounding::half_away}; }},
    {"bias at the tiles",
     [](RpuParameters& p) { fixed_point_of(p).bias.at = BiasPlace::tile, p.mapping.max_input_size = 7; }},
    {"wrap",
     [](RpuParameters& p) {
       fixed_point_of(p).accumulator = {.bits = 17, .overflow = FixedPointOverflow::wrap};
       fixed_point_of(p).output.range = 0.2;
       p.mapping.max_input_size = 5;
     }},
    {"no output code", [](RpuParameters& p) { fixed_point_of(p).output.bits = 0; }},
    {"32-bit multiplier",
     [](RpuParameters& p) {
       const auto range = fixed_point_of(p).output.range;
       fixed_point_of(p) = fixed_point_preset("int8_int32");
       fixed_point_of(p).output.range = range;
     }},
    {"unsigned output", [](RpuParameters& p) { fixed_point_of(p).output.is_signed = Signedness::is_unsigned; }},
    {"bound management",
     [](RpuParameters& p) {
       p.forward.bound_management = BoundManagementType::ITERATIVE;
       p.forward.out_bound = 0.5;
     }},
    {"constant noise management",
     [](RpuParameters& p) {
       p.forward.noise_management = NoiseManagementType::CONSTANT;
       p.forward.nm_thres = 1.7;
     }},
    {"split mode", [](RpuParameters& p) { p.forward.mv_type = AnalogMVType::SPLIT_MODE; }},
    {"bit-wise", [](RpuParameters& p) { p.forward.mv_type = AnalogMVType::BIT_WISE; }},
    {"by sign", [](RpuParameters& p) { p.forward.mv_type = AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM; }},
    {"negative fraction bits", [](RpuParameters& p) {
       fixed_point_of(p).scale = {.integer_bits = 4, .fraction_bits = -1};
       fixed_point_of(p).bias = {.integer_bits = 8, .fraction_bits = -2};
       fixed_point_of(p).output.range = 0.05;
     }}};

TEST(FixedPointLayer, EqualsTheReferenceOnItsOwnIntegers) {
  for (const auto& [name, change] : variants) {
    SCOPED_TRACE(name);
    RpuParameters p = fixed_point_layer();
    change(p);
    const AnalogLayer layer = layer_of(p);
    LayerStatistics statistics;
    const Matrix y = testing::run(layer, inputs(), {.statistics = &statistics});
    expect_equal(y, by_reference(layer, inputs()));
    expect_equal(y, testing::run(layer, inputs()));
    EXPECT_EQ(statistics.fixed_point_outputs, 40 * 9);
    EXPECT_GT(statistics.fixed_point.product_peak, 0);
    Matrix v(40, layer.product_columns()), halves(40, 9);
    layer.product(inputs().view(), v.view(), {});
    layer.periphery(v.view(), halves.view());
    expect_equal(y, halves);
  }
}

TEST(FixedPointLayer, DependsOnNeitherThreadsNorBatches) {
  const Matrix w = testing::normals(40, 60, 1, 0.4F), x = testing::normals(600, 60, 3);
  for (const FixedPointRounding rounding : {FixedPointRounding::truncate, FixedPointRounding::stochastic}) {
    RpuParameters p = fixed_point_layer();
    p.forward.out_noise = 0.05;
    p.mapping.max_input_size = 25;
    fixed_point_of(p).product = {.cut = 2, .rounding = rounding};
    fixed_point_of(p).output.rounding = rounding;
    fixed_point_of(p).scale.exponent = ScaleExponent::per_column;
    const AnalogLayer layer(p, w.view(), {}, {.seed = 3});
    const Matrix one = testing::run(layer, x, {.first_vector = 11});
    for (const int threads : {2, 3}) {
      LayerStatistics statistics;
      expect_equal(one, testing::run(layer, x, {.first_vector = 11, .parallel = {threads}, .statistics = &statistics}));
    }
    Matrix split(600, 40);
    for (std::int64_t r = 0; r < 600; r += 37) {
      const std::int64_t n = std::min<std::int64_t>(37, 600 - r);
      layer.forward(x.view().rows_from(r, n), split.view().rows_from(r, n),
                    {.first_vector = 11 + static_cast<std::uint64_t>(r), .parallel = {2}});
    }
    expect_equal(one, split);
  }
}

// What float32 computes with the same converters.
Matrix in_float(RpuParameters p, const Matrix& x) {
  p.pre_post.fixed_point.reset();
  return testing::run(layer_of(p), x);
}

TEST(FixedPointLayer, WideFormatsAreTheFloatPeriphery) {
  RpuParameters p = fixed_point_layer();
  FixedPointParameter& f = fixed_point_of(p);
  f.scale = {.integer_bits = 15, .fraction_bits = 16, .exponent = ScaleExponent::per_column};
  f.bias = {.integer_bits = 9, .fraction_bits = 22};
  f.accumulator = {.bits = 48, .fraction_bits = 24};
  f.output.bits = 0;
  for (const int rows : {0, 7}) {
    p.mapping.max_input_size = rows;
    const Matrix exact = in_float(p, inputs()), y = testing::run(layer_of(p), inputs());
    float largest = 0.0F;
    for (const float v : exact.values()) largest = std::max(largest, std::fabs(v));
    EXPECT_LT(largest_error(y, exact), std::ldexp(static_cast<double>(largest), -15));
  }
}

TEST(FixedPointLayer, MoreFractionBitsAreNeverWorse) {
  double last = 1e9;
  for (const int bits : {2, 4, 8, 16}) {
    RpuParameters p = fixed_point_layer();
    FixedPointParameter& f = fixed_point_of(p);
    f.scale = {.integer_bits = 2, .fraction_bits = bits};
    f.bias = {.integer_bits = 7, .fraction_bits = bits};
    f.accumulator.bits = 40;
    f.output.bits = 0;
    const double error = largest_error(testing::run(layer_of(p), inputs()), in_float(p, inputs()));
    EXPECT_LE(error, last);
    last = error;
  }
  EXPECT_LT(last, 2e-3);
}

TEST(FixedPointLayer, ExactStagesLeaveTheOthersAsTheyAre) {
  RpuParameters p = fixed_point_layer();
  p.mapping.max_input_size = 7;
  const Matrix integers = testing::run(layer_of(p), inputs());
  RpuParameters sum = p;
  fixed_point_of(sum).accumulator.exact = true;  // it does not overflow: nothing changes
  expect_equal(testing::run(layer_of(sum), inputs()), integers);
  RpuParameters scale = p;
  fixed_point_of(scale).scale.exact = true;
  EXPECT_LT(squared_error(testing::run(layer_of(scale), inputs()), in_float(p, inputs())),
            squared_error(integers, in_float(p, inputs())));
  RpuParameters all = p;
  FixedPointParameter& f = fixed_point_of(all);
  f.scale.exact = f.bias.exact = f.product.exact = f.accumulator.exact = f.output.exact = true;
  EXPECT_LT(largest_error(testing::run(layer_of(all), inputs()), in_float(p, inputs())), 1e-5);
}

TEST(FixedPointLayer, Binary16RoundsEveryOperation) {
  EXPECT_EQ(to_binary16(1.0 + 1.0 / 2048.0), 1.0);  // a tie, to even
  EXPECT_EQ(to_binary16(1.0 + 3.0 / 2048.0), 1.0 + 2.0 / 1024.0);
  EXPECT_EQ(to_binary16(-0.1), -0.0999755859375);
  EXPECT_EQ(to_binary16(1e6), 65504.0);
  EXPECT_EQ(to_binary16(std::ldexp(1.0, -25)), 0.0);  // a tie below the smallest
  EXPECT_EQ(to_binary16(std::ldexp(1.5, -25)), std::ldexp(1.0, -24));
  RpuParameters p = fixed_point_layer();
  fixed_point_of(p) = fixed_point_preset("fp16");
  fixed_point_of(p).output.range = 6.0;
  fixed_point_of(p).output.bits = 0;
  const double error = largest_error(testing::run(layer_of(p), inputs()), in_float(p, inputs()));
  EXPECT_GT(error, 1e-5);
  EXPECT_LT(error, 6.0 * std::ldexp(1.0, -9));
}

TEST(FixedPointLayer, FusedReluIsReluBehindTheCode) {
  RpuParameters p = fixed_point_layer();
  AnalogLayer plain = layer_of(p), fused = layer_of(p);
  fused.set_output_code(true, true);
  EXPECT_TRUE(fused.fused_relu());
  Matrix expected = testing::run(plain, inputs());
  for (float& v : expected.values()) v = std::max(v, 0.0F);
  expect_equal(testing::run(fused, inputs()), expected);
  fused.set_output_code(true, false);
  EXPECT_FLOAT_EQ(fused.output_step(), 6.0F / 255.0F);
}

TEST(FixedPointLayer, DriftCompensationChangesTheMultiplierOrIsOneOfItsOwn) {
  RpuParameters p = fixed_point_layer();
  fixed_point_of(p).scale = {.integer_bits = 3, .fraction_bits = 10};
  AnalogLayer layer = layer_of(p);
  const std::vector<std::int64_t> before = layer.fixed_point_report(0).scale.code;
  const float alpha = 1.5F;
  layer.set_alpha(0, {&alpha, 1});
  const std::vector<std::int64_t> after = layer.fixed_point_report(0).scale.code;
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_NEAR(static_cast<double>(after[i]), 1.5 * static_cast<double>(before[i]), 1.0);
  fixed_point_of(p).recompute_on_drift = false;
  AnalogLayer second = layer_of(p);
  second.set_alpha(0, {&alpha, 1});
  const StoredScale stored = second.fixed_point_report(0).scale;
  EXPECT_EQ(stored.mantissa, before);
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_EQ(stored.code[i], before[i] * 96);  // 1.5 in Q(u,2,6)
  expect_equal(testing::run(second, inputs()), by_reference(second, inputs()));
}

TEST(FixedPointLayer, ARangeFromDataIsNeededAndKept) {
  RpuParameters p = fixed_point_layer();
  fixed_point_of(p).output.range.reset();
  AnalogLayer layer = layer_of(p);
  EXPECT_TRUE(layer.needs_output_range());
  Matrix y(40, 9);
  EXPECT_THROW(layer.forward(inputs().view(), y.view(), {}), ConfigError);
  std::vector<Matrix> outputs;
  std::vector<MatrixView> parts;
  parts.push_back(outputs.emplace_back(Matrix(40, 9)).view());
  layer.tile_outputs(inputs().view(), parts, {});
  layer.estimate_activation_ranges(parts, y.view());
  const Matrix exact = in_float(p, inputs());
  float largest = 0.0F;
  for (const float v : exact.values()) largest = std::max(largest, std::fabs(v));
  EXPECT_EQ(layer.state().output_range, largest);
  EXPECT_FLOAT_EQ(layer.output_step(), largest / 127.0F);
  AnalogLayer again = layer_of(p);
  again.set_state(layer.state());
  expect_equal(testing::run(again, inputs()), testing::run(layer, inputs()));
}

TEST(FixedPointLayer, OutputsThatAreAllZeroHaveARange) {
  RpuParameters p = fixed_point_layer();
  fixed_point_of(p).output.range.reset();
  fixed_point_of(p).output.quantile = 0.5;
  const std::vector<float> low(9, -100.0F);
  AnalogLayer layer(p, weights().view(), low, {.seed = 1});
  layer.set_output_code(true, true);
  Matrix y(40, 9);
  layer.forward_training(inputs().view(), y.view(), {});
  EXPECT_FALSE(layer.needs_output_range());
  const Matrix zeros = testing::run(layer, inputs());
  for (const float v : zeros.values()) EXPECT_EQ(v, 0.0F);
}

TEST(FixedPointLayer, CodesHaveAStepInFrontAndBehind) {
  RpuParameters p = fixed_point_layer();
  const AnalogLayer layer = layer_of(p);
  EXPECT_NEAR(layer.input_code_step(0), 2.0 / 127.0, 1e-7);
  EXPECT_EQ(layer.largest_input_code(), 127);
  EXPECT_FLOAT_EQ(layer.output_step(), 6.0F / 127.0F);
  fixed_point_of(p).output.power_of_two = true;
  EXPECT_EQ(layer_of(p).output_step(), 0.0625F);
}

TEST(FixedPointLayer, CountsMultipliersThatSaturate) {
  RpuParameters p = fixed_point_layer();
  fixed_point_of(p).output.range = 1e-3;
  EXPECT_EQ(layer_of(p).fixed_point_report(0).scale.saturated, 9);
  fixed_point_of(p).output.range = 6.0;
  EXPECT_EQ(layer_of(p).fixed_point_report(0).scale.saturated, 0);
}

TEST(FixedPointLayer, ItsTraceIsItsPass) {
  for (const auto& [name, change] : variants) {
    SCOPED_TRACE(name);
    RpuParameters p = fixed_point_layer();
    change(p);
    AnalogLayer layer = layer_of(p);
    layer.set_output_code(true, false);
    const FixedPointTrace trace = layer.trace_fixed_point(inputs().view(), {});
    const Matrix y = testing::run(layer, inputs());
    const FixedPointReport report = layer.fixed_point_report(0);
    const double unit = std::ldexp(static_cast<double>(report.output_step),
                                   report.datapath.output_bits > 0 ? 0 : -report.datapath.fraction_bits);
    for (std::int64_t r = 0; r < 40; ++r)
      for (std::int64_t i = 0; i < 9; ++i)
        ASSERT_EQ(y(r, i), static_cast<float>(static_cast<double>(trace.output(r, i)) * unit));
    for (const std::int64_t code : trace.tiles[0].dac.values) ASSERT_LE(std::abs(code), 127);
  }
}

// Straight through: where nothing is beyond its codes the gradient is that of the float periphery.
TEST(FixedPointLayer, GradientsPassStraightThrough) {
  for (const bool clipped : {false, true}) {
    RpuParameters p = fixed_point_layer();
    fixed_point_of(p).output.range = clipped ? 0.5 : 20.0;
    RpuParameters plain = p;
    plain.pre_post.fixed_point.reset();
    LearningLayer layer(p, weights().view(), biases().values(), {.seed = 1});
    LearningLayer reference(plain, weights().view(), biases().values(), {.seed = 1});
    Matrix y(40, 9), exact(40, 9), dy = testing::normals(40, 9, 4), dx(40, 20), expected(40, 20);
    layer.forward(inputs().view(), y.view(), {});
    reference.forward(inputs().view(), exact.view(), {});
    layer.backward(inputs().view(), dy.view(), dx.view(), {});
    if (clipped)
      for (std::size_t i = 0; i < dy.values().size(); ++i)
        if (const float code = exact.values()[i] * 127.0F / 0.5F; code > 127.5F || code < -128.5F)
          dy.values()[i] = 0.0F;
    reference.backward(inputs().view(), dy.view(), expected.view(), {});
    EXPECT_LT(largest_error(dx, expected), 1e-5);
  }
}

}  // namespace
}  // namespace tessera::tile
