// Does a learning layer's gradient belong to its forward pass?
#include "tessera/tile/learning.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

using testing::normals;

RpuParameters perfect() {
  RpuParameters p;
  p.forward.is_perfect = true;
  return p;
}

TEST(Learning, PerfectLayersGiveTheGradientsOfALinearMap) {
  RpuParameters p = perfect();
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.mapping.max_input_size = 5;
  p.mapping.max_output_size = 3;
  const Matrix w = normals(7, 12, 1);
  const Matrix x = normals(33, 12, 2);
  const Matrix dy = normals(33, 7, 3);
  const Matrix bias = normals(1, 7, 4);
  LearningLayer layer(p, w.view(), bias.values(), {.seed = 1});
  ASSERT_GT(layer.analog_layer().tile_count(), 4);
  Matrix y(33, 7);
  Matrix dx(33, 12);
  layer.forward(x.view(), y.view(), {});
  layer.backward(x.view(), dy.view(), dx.view(), {});
  const auto values = layer.values();
  ASSERT_EQ(values.size(), 2U);
  for (std::int64_t i = 0; i < 7; ++i) {
    double db = 0.0;
    for (std::int64_t r = 0; r < 33; ++r) db += static_cast<double>(dy(r, i));
    EXPECT_NEAR(values[1].gradient[static_cast<std::size_t>(i)], db, 1e-5);
    for (std::int64_t k = 0; k < 12; ++k) {
      double dw = 0.0;
      for (std::int64_t r = 0; r < 33; ++r) dw += static_cast<double>(dy(r, i)) * static_cast<double>(x(r, k));
      EXPECT_NEAR(values[0].gradient[static_cast<std::size_t>(i * 12 + k)], dw, 2e-5);
    }
  }
  for (std::int64_t r = 0; r < 33; ++r)
    for (std::int64_t k = 0; k < 12; ++k) {
      double d = 0.0;
      for (std::int64_t i = 0; i < 7; ++i) d += static_cast<double>(dy(r, i)) * static_cast<double>(w(i, k));
      EXPECT_NEAR(dx(r, k), d, 2e-5);
    }
}

RpuParameters hardware() {
  RpuParameters p;
  p.forward.noise_management = NoiseManagementType::CONSTANT;
  p.forward.nm_thres = 1.0;
  p.forward.bound_management = BoundManagementType::NONE;
  p.forward.w_noise = 0.0175;
  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
  p.forward.ir_drop = 1.0;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.mapping.learn_out_scaling = true;
  p.mapping.max_input_size = 20;
  p.mapping.max_output_size = 9;
  p.pre_post.input_range.enable = true;
  p.pre_post.periph_quant = {.n_bits = 6, .learn_quant_params = true, .init_learning_after = 1};
  p.act_quant_config = ActivationQuantConfig{.n_bits = 8};
  p.modifier.type = WeightModifierType::ADD_NORMAL;
  p.modifier.std_dev = 0.05;
  p.clip = {.type = WeightClipType::LAYER_GAUSSIAN};
  p.remap.type = WeightRemapType::CHANNELWISE_SYMMETRIC;
  return p;
}

// Three steps of plain gradient descent on <dy, y>; everything that was learned, one after the other.
std::vector<float> trained(const RpuParameters& p, int threads) {
  const Matrix w = normals(17, 37, 1, 0.3F);
  const Matrix bias = normals(1, 17, 2);
  LearningLayer layer(p, w.view(), bias.values(), {.seed = 3});
  std::vector<float> all;
  for (std::uint32_t step = 0; step < 3; ++step) {
    const std::int64_t vectors = 4200;  // more than one block
    const Matrix x = normals(vectors, 37, 10 + step);
    const Matrix dy = normals(vectors, 17, 20 + step, 1e-3F);
    Matrix y(vectors, 17);
    Matrix dx(vectors, 37);
    const ForwardCall call{.first_vector = step * 8000, .parallel = {threads}, .event = step};
    layer.begin_batch(step);
    layer.zero_gradients();
    layer.forward(x.view(), y.view(), call);
    layer.backward(x.view(), dy.view(), dx.view(), call);
    for (const LearnedValue& v : layer.values())
      for (std::size_t i = 0; i < v.value.size(); ++i) v.value[i] -= 1e-3F * v.gradient[i];
    layer.updated();
    if (step == 1) layer.learn_activation_ranges(true);
    all.insert(all.end(), dx.values().begin(), dx.values().end());
  }
  EXPECT_TRUE(layer.is_learning_ranges());
  for (const LearnedValue& v : layer.values()) {
    all.insert(all.end(), v.value.begin(), v.value.end());
    double size = 0.0;
    for (const float g : v.gradient) size += std::fabs(static_cast<double>(g));
    EXPECT_GT(size, 0.0) << v.name;  // every kind takes part
  }
  return all;
}

TEST(Learning, BitsDoNotDependOnTheThreadCount) {
  const std::vector<float> one = trained(hardware(), 1);
  const std::vector<float> many = trained(hardware(), 3);
  ASSERT_EQ(one.size(), many.size());
  EXPECT_TRUE(one == many);
  RpuParameters managed = hardware();
  managed.forward.noise_management = NoiseManagementType::ABS_MAX;
  managed.forward.bound_management = BoundManagementType::ITERATIVE;
  managed.forward.out_bound = 3.0;
  EXPECT_TRUE(trained(managed, 1) == trained(managed, 2));
}

TEST(Learning, ManagedBoundsGiveTheGradientOfTheRoundThatCounted) {
  RpuParameters p;
  p.forward.out_noise = 0.0;
  p.forward.out_bound = 1.0;
  p.forward.out_res = -1.0;
  p.forward.inp_res = -1.0;
  const Matrix w = normals(5, 8, 1);
  const Matrix x = normals(6, 8, 2);
  const Matrix dy = normals(6, 5, 3);
  LearningLayer layer(p, w.view(), {}, {.seed = 1});
  Matrix y(6, 5);
  Matrix dx(6, 8);
  layer.forward(x.view(), y.view(), {});
  layer.backward(x.view(), dy.view(), dx.view(), {});
  for (std::int64_t r = 0; r < 6; ++r)
    for (std::int64_t k = 0; k < 8; ++k) {
      double d = 0.0;
      for (std::int64_t i = 0; i < 5; ++i) d += static_cast<double>(dy(r, i)) * static_cast<double>(w(i, k));
      EXPECT_NEAR(dx(r, k), d, 1e-4);  // repeated with smaller inputs until nothing clips: the plain product
    }
}

TEST(Learning, DigitEncodingsGiveTheGradientOfTheirSum) {
  for (const AnalogMVType type : {AnalogMVType::SPLIT_MODE, AnalogMVType::BIT_WISE}) {
    RpuParameters p;
    p.forward.mv_type = type;
    p.forward.out_noise = 0.0;
    p.forward.out_bound = 100.0;
    p.forward.out_res = -1.0;
    p.forward.noise_management = NoiseManagementType::NONE;
    p.forward.bound_management = BoundManagementType::NONE;
    const Matrix w = normals(5, 8, 1);
    Matrix x = normals(6, 8, 2);
    for (float& v : x.values()) v = std::rint(std::clamp(v, -1.0F, 1.0F) * 63.0F) / 63.0F;
    const Matrix dy = normals(6, 5, 3);
    LearningLayer layer(p, w.view(), {}, {.seed = 1});
    Matrix y(6, 5);
    Matrix dx(6, 8);
    layer.forward(x.view(), y.view(), {});
    layer.backward(x.view(), dy.view(), dx.view(), {});
    const std::span<const float> dw = layer.values()[0].gradient;
    for (std::int64_t i = 0; i < 5; ++i)
      for (std::int64_t k = 0; k < 8; ++k) {
        double d = 0.0;
        for (std::int64_t r = 0; r < 6; ++r) d += static_cast<double>(dy(r, i)) * static_cast<double>(x(r, k));
        EXPECT_NEAR(dw[static_cast<std::size_t>(i * 8 + k)], d, 1e-4);
      }
    double d = 0.0;
    for (std::int64_t i = 0; i < 5; ++i) d += static_cast<double>(dy(4, i)) * static_cast<double>(w(i, 3));
    EXPECT_NEAR(dx(4, 3), d, 1e-4);
  }
}

TEST(Learning, RefusesShapesAndValuesThatDoNotFit) {
  const Matrix w = normals(4, 5, 1);
  LearningLayer layer(perfect(), w.view(), {}, {.seed = 1});
  Matrix x(3, 5);
  Matrix dy(3, 4);
  Matrix dx(2, 5);
  EXPECT_THROW(layer.backward(x.view(), dy.view(), dx.view(), {}), InputError);
  EXPECT_THROW(layer.backward(x.view(), x.view(), MatrixView(), {}), InputError);
  EXPECT_NO_THROW(layer.backward(x.view(), dy.view(), MatrixView(), {}));
  EXPECT_THROW(layer.set_weights(normals(4, 6, 1).view(), {}), InputError);
  layer.values()[0].value[3] = NAN;
  EXPECT_THROW(layer.updated(), InputError);
}

}  // namespace
}  // namespace tessera::tile
