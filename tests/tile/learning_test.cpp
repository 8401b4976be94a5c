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

}  // namespace
}  // namespace tessera::tile
