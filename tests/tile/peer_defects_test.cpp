// Is what the documentation intends built where aihwkit does otherwise (docs/models/peer_defects.md), and do the
// switches restore it?
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tessera/kernels/reference.hpp"
#include "tessera/tile/learning.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

using testing::noise_free;
using testing::normals;
using testing::run;

constexpr std::int64_t outputs = 5;
constexpr std::int64_t inputs = 7;
constexpr std::int64_t vectors = 6;

Matrix bounded_inputs(float largest) {
  Matrix x = normals(vectors, inputs, 3);
  for (float& v : x.values()) v = std::max(-1.0F, std::min(1.0F, 0.5F * v)) * largest;
  return x;
}

Matrix plain_product(const Matrix& w, const Matrix& bias, const Matrix& x, float bias_factor) {
  Matrix y(x.rows(), w.rows());
  std::vector<float> b(bias.values().begin(), bias.values().end());
  for (float& v : b) v *= bias_factor;
  kernels::reference::multiply(w.view(), x.view(), y.view(), b);
  return y;
}

double largest_difference(const Matrix& a, const Matrix& b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.values().size(); ++i)
    largest = std::max(largest, static_cast<double>(std::fabs(a.values()[i] - b.values()[i])));
  return largest;
}

RpuParameters with_analog_bias(double range) {
  RpuParameters p = noise_free();
  p.mapping.digital_bias = false;
  p.mapping.weight_scaling_omega = 1.0;
  p.pre_post.input_range.enable = range > 0.0;
  p.pre_post.input_range.init_value = range > 0.0 ? range : 3.0;
  return p;
}

// The largest error of a layer with an analog bias whose result should be W x + b, for inputs inside the range.
double bias_error(RpuParameters p, double range, float bias_factor = 1.0F) {
  const Matrix w = normals(outputs, inputs, 1, 0.3F);
  const Matrix bias = normals(1, outputs, 2);
  const Matrix x = bounded_inputs(range > 0.0 ? static_cast<float>(range) : 1.0F);
  const AnalogLayer layer(p, w.view(), bias.values(), {});
  EXPECT_EQ(layer.tile_weights(0).cols(), inputs + 1);
  return largest_difference(run(layer, x), plain_product(w, bias, x, bias_factor));
}

TEST(AnalogBias, IsExactForEveryInputRangeOfAPerfectTile) {
  for (const double range : {0.03, 0.5, 1.0, 2.0, 7.5, 40.0}) {
    RpuParameters p = with_analog_bias(range);
    p.forward.is_perfect = true;
    EXPECT_LT(bias_error(p, range), 1e-5 * std::max(1.0, range)) << range;
    p.mapping.bias_line_as_input = true;
    EXPECT_LT(bias_error(p, range, static_cast<float>(range)), 1e-5 * std::max(1.0, range)) << range;
  }
}

// With converters the error is that of their steps: of the bias line, at most b r Delta / 2.
TEST(AnalogBias, KeepsItsValueThroughConvertersAndManagements) {
  struct Way {
    const char* name;
    void (*change)(RpuParameters&);
  };
  const Way ways[] = {
      {"no management", [](RpuParameters& p) { p.forward.noise_management = NoiseManagementType::NONE; }},
      {"ABS_MAX", [](RpuParameters&) {}},
      {"NP_SUM", [](RpuParameters& p) { p.forward.noise_management = NoiseManagementType::ABS_MAX_NP_SUM; }},
      {"AVERAGE", [](RpuParameters& p) { p.forward.noise_management = NoiseManagementType::AVERAGE_ABS_MAX; }},
      {"CONSTANT above 1",
       [](RpuParameters& p) {
         p.forward.noise_management = NoiseManagementType::CONSTANT;
         p.forward.nm_thres = 1.5;
       }},
      {"signs apart", [](RpuParameters& p) { p.forward.mv_type = AnalogMVType::POS_NEG_SEPARATE; }},
      {"bits",
       [](RpuParameters& p) {
         p.forward.mv_type = AnalogMVType::BIT_WISE;
         p.forward.inp_res = 2046;
         p.forward.out_res = -1.0;
         p.forward.noise_management = NoiseManagementType::NONE;
       }},
      {"stochastic",
       [](RpuParameters& p) {
         p.forward.inp_sto_round = true;
         p.forward.noise_management = NoiseManagementType::NONE;
       }},
  };
  for (const Way& way : ways) {
    for (const double range : {0.0, 0.25, 0.8, 1.0, 3.0}) {
      RpuParameters p = with_analog_bias(range);
      p.forward.inp_res = 2046;
      p.forward.out_res = 8190;
      p.forward.out_bound = 40.0;
      way.change(p);
      EXPECT_LT(bias_error(p, range), 0.03 * std::max(1.0, range)) << way.name << " " << range;
    }
  }
}

// Half the bias would be lost if the line, at 1 / r = 4, were cut off at the bound of the DAC.
TEST(AnalogBias, SwitchRestoresTheLineThatIsClippedLikeAnInput) {
  RpuParameters p = with_analog_bias(0.25);
  p.forward.noise_management = NoiseManagementType::NONE;
  p.forward.inp_res = p.forward.out_res = -1.0;
  EXPECT_LT(bias_error(p, 0.25), 1e-5);
  p.mapping.bias_line_as_input = true;
  EXPECT_LT(bias_error(p, 0.25, 0.25F), 1e-5);
}

TEST(AnalogBias, LineBeyondTheBoundIsNotCountedAsClipped) {
  RpuParameters p = with_analog_bias(0.25);
  p.forward.noise_management = NoiseManagementType::NONE;
  const Matrix w = normals(outputs, inputs, 1, 0.3F);
  const Matrix bias = normals(1, outputs, 2);
  LayerStatistics statistics;
  run(AnalogLayer(p, w.view(), bias.values(), {}), bounded_inputs(0.2F), {.statistics = &statistics});
  EXPECT_EQ(statistics.dac_clipped, 0);
}

// A range that changes after mapping (calibration, training) leaves the bias alone.
TEST(AnalogBias, FollowsARangeThatIsSetLater) {
  RpuParameters p = with_analog_bias(3.0);
  p.forward.is_perfect = true;
  const Matrix w = normals(outputs, inputs, 1, 0.3F);
  const Matrix bias = normals(1, outputs, 2);
  const Matrix x = bounded_inputs(1.0F);
  AnalogLayer layer(p, w.view(), bias.values(), {});
  layer.set_input_range(1.7F);
  EXPECT_LT(largest_difference(run(layer, x), plain_product(w, bias, x, 1.0F)), 1e-5);
  const ReadWeights read = layer.read_weights();
  for (std::int64_t i = 0; i < outputs; ++i) EXPECT_NEAR(read.bias[static_cast<std::size_t>(i)], bias(0, i), 0.05);
}

// Two layers with the same live outputs; one has outputs without weights among them.
struct LiveAndDead {
  Matrix live{3, 6};
  Matrix dead{5, 6};  // rows 1 and 4 are zero
};
LiveAndDead layers_with_dead_outputs() {
  LiveAndDead layers;
  layers.live = normals(3, 6, 5, 0.02F);
  const std::int64_t rows[] = {0, 2, 3};
  for (std::int64_t i = 0; i < 3; ++i)
    for (std::int64_t k = 0; k < 6; ++k) layers.dead(rows[i], k) = layers.live(i, k);
  return layers;
}

TEST(DeadOutput, DoesNotChangeTheScalesOfTheOthers) {
  const LiveAndDead layers = layers_with_dead_outputs();
  for (const bool symmetric : {true, false})
    for (const bool power_of_two : {true, false})
      for (const bool range : {true, false}) {
        RpuParameters p = noise_free();
        p.mapping.weight_scaling_omega = 1.0;
        p.mapping.weight_scaling_columnwise = true;
        p.pre_post.periph_quant = {.n_bits = 4, .symmetric = symmetric, .power_of_two = power_of_two};
        p.pre_post.input_range.enable = range;
        const AnalogLayer with(p, layers.dead.view(), {}, {});
        const AnalogLayer without(p, layers.live.view(), {}, {});
        const Matrix x = normals(vectors, 6, 3);
        const Matrix y = run(with, x);
        const Matrix expected = run(without, x);
        for (std::int64_t r = 0; r < vectors; ++r) {
          EXPECT_EQ(y(r, 0), expected(r, 0));
          EXPECT_EQ(y(r, 2), expected(r, 1));
          EXPECT_EQ(y(r, 3), expected(r, 2));
          EXPECT_EQ(y(r, 1), 0.0F);
        }
        EXPECT_EQ(with.tile_report(0).scale_step, without.tile_report(0).scale_step);
        EXPECT_EQ(with.tile_report(0).scale_sqnr_db, without.tile_report(0).scale_sqnr_db);
        p.mapping.unit_scale_of_dead_outputs = true;
        const TileReport peer = AnalogLayer(p, layers.dead.view(), {}, {}).tile_report(0);
        EXPECT_EQ(peer.mapping_scale[1], 1.0F);
        EXPECT_EQ(peer.quantized_scale[0], 0.0F);  // what the switch is for
      }
}

TEST(DeadOutput, DoesNotAmplifyTheNoise) {
  const LiveAndDead layers = layers_with_dead_outputs();
  RpuParameters p;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  const Matrix y = run(AnalogLayer(p, layers.dead.view(), {}, {}), normals(400, 6, 3));
  double squares[5] = {};
  for (std::int64_t r = 0; r < 400; ++r)
    for (std::int64_t i = 0; i < 5; ++i) squares[i] += std::pow(static_cast<double>(y(r, i)), 2.0);
  EXPECT_LT(squares[1], squares[0]);  // with scale 1 it would be hundreds of times as much
  EXPECT_LT(squares[4], squares[0]);
}

// A tile without weights beside others: its products carry noise only, and not with the scale 1.
TEST(DeadOutput, TileWithoutWeightsHasAScaleOfTheLayer) {
  Matrix w = normals(4, 8, 6, 0.02F);
  for (std::int64_t i = 0; i < 4; ++i)
    for (std::int64_t k = 4; k < 8; ++k) w(i, k) = 0.0F;
  RpuParameters p = noise_free();
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.max_input_size = 4;
  const AnalogLayer layer(p, w.view(), {}, {});
  EXPECT_EQ(layer.tile_report(1).mapping_scale, layer.tile_report(0).mapping_scale);
}

TEST(DeadOutput, RemapInTrainingFollowsTheLiveOutputs) {
  RpuParameters p = noise_free();
  p.forward.is_perfect = true;
  p.remap.type = WeightRemapType::CHANNELWISE_SYMMETRIC;
  Matrix w = normals(3, 4, 7, 0.05F);
  for (std::int64_t k = 0; k < 4; ++k) w(1, k) = 0.0F;
  LearningLayer layer(p, w.view(), {}, {});
  layer.updated();
  const std::vector<float> m = layer.analog_layer().tile_report(0).mapping_scale;
  EXPECT_EQ(m[1], std::min(m[0], m[2]));
  EXPECT_LT(m[1], 0.5F);
}

// Without a noise management that could stand in for the worst case, inputs are halved until nothing clips: 0.9 / 4 is
// 14 steps of 1/63, the column 1.75 * 14 / 63 = 0.3889 is 99 steps of 1/254, and 4 * 99 / 254 = 1.559.
TEST(PeerDefects, TheWorstCaseOfNoNoiseManagementIsIterative) {
  const Matrix w(1, 3, std::vector<float>{1.0F, 0.5F, 0.25F});
  const Matrix x(1, 3, std::vector<float>{0.9F, 0.9F, 0.9F});
  RpuParameters p = noise_free();
  p.forward.noise_management = NoiseManagementType::NONE;
  p.forward.out_bound = 0.5;
  p.forward.out_res = 1.0 / 254.0;
  for (const BoundManagementType type : {BoundManagementType::ITERATIVE_WORST_CASE, BoundManagementType::ITERATIVE}) {
    p.forward.bound_management = type;
    EXPECT_NEAR(run(AnalogLayer(p, w.view(), {}, {}), x)(0, 0), 4.0 * 99.0 / 254.0, 1e-6);
  }
  // With ABS_MAX the worst case is that of ABS_MAX_NP_SUM: c = 1 / (2.7), z = 1/3 = 21 steps, 148 of 254, times 2.7.
  p.forward.noise_management = NoiseManagementType::ABS_MAX;
  p.forward.bound_management = BoundManagementType::ITERATIVE_WORST_CASE;
  EXPECT_GT(std::fabs(static_cast<double>(run(AnalogLayer(p, w.view(), {}, {}), x)(0, 0)) - 4.0 * 99.0 / 254.0), 1e-3)
      << "the control: with a noise management the two differ";
}

}  // namespace
}  // namespace tessera::tile
