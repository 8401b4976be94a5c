// Can a program add an effect of its own in one file, and is it then part of passes, of what is frozen, and of training?
#include <gtest/gtest.h>

#include <memory>

#include "tessera/tile/effect_law.hpp"
#include "tessera/tile/learning.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

/// v -> a v - b v^2 between array and ADC, with a = 1 + gain.
std::shared_ptr<const Effect> amplifier() {
  static const EffectLaw law{
      .acts = [](const IOParameters& io, const FrozenDraws&) { return io.numbers["gain"] != 0.0; },
      .outputs =
          [](const Stage& stage, MatrixView v, Matrix* slope) {
            const auto a = static_cast<float>(1.0 + stage.io.numbers["gain"]);
            const auto b = static_cast<float>(stage.io.numbers["bend"]);
            apply(v, slope, [=](float x, std::int64_t, auto& d) {
              d = a - 2.0F * b * x;
              return a * x - b * x * x;
            });
          }};
  return std::make_shared<Effect>(
      Effect{.name = "amplifier", .place = 62, .page = {}, .law = "a v - b v^2", .act = &law});
}

RpuParameters linear(bool with_effect) {
  RpuParameters p = testing::noise_free();
  p.forward.inp_res = p.forward.out_res = -1.0;
  p.forward.out_bound = -1.0;
  p.forward.noise_management = NoiseManagementType::NONE;
  p.forward.bound_management = BoundManagementType::NONE;
  p.forward.inp_bound = -1.0;
  if (!with_effect) return p;
  p.forward.own_effects = {amplifier()};
  p.forward.numbers.set("gain", 1.0);
  p.forward.numbers.set("bend", 0.25);
  return p;
}

TEST(OwnEffect, ActsWhereItsPlaceIs) {
  const Matrix w = testing::normals(5, 8, 1, 0.3F), x = testing::normals(7, 8, 2);
  const Matrix plain = testing::run(AnalogLayer(linear(false), w.view(), {}, {}), x);
  const Matrix bent = testing::run(AnalogLayer(linear(true), w.view(), {}, {}), x);
  for (std::size_t i = 0; i < plain.values().size(); ++i) {
    const float v = plain.values()[i];
    EXPECT_EQ(bent.values()[i], 2.0F * v - 0.25F * v * v);
  }
  RpuParameters off = linear(true);
  off.forward.numbers.set("gain", 0.0);
  const Matrix without = testing::run(AnalogLayer(off, w.view(), {}, {}), x);
  EXPECT_TRUE(std::equal(without.values().begin(), without.values().end(), plain.values().begin()));
}

// In front of the ADC: its levels are those of the converter whatever the amplifier does.
TEST(OwnEffect, LiesInFrontOfTheAdc) {
  RpuParameters p = linear(true);
  p.forward.out_bound = 1.0;
  p.forward.out_res = 0.25;  // step 0.5
  const Matrix w(1, 1, std::vector<float>{1.0F}), x(1, 1, std::vector<float>{0.3F});
  EXPECT_EQ(testing::run(AnalogLayer(p, w.view(), {}, {}), x)(0, 0), 0.5F);  // 0.5775 rounds down, 0.3 to 0.5, too
  const Matrix small(1, 1, std::vector<float>{0.14F});                       // 0.14 to 0, 0.275 to 0.5
  EXPECT_EQ(testing::run(AnalogLayer(p, w.view(), {}, {}), small)(0, 0), 0.5F);
  EXPECT_EQ(testing::run(AnalogLayer(linear(false), w.view(), {}, {}), small)(0, 0), 0.14F);
}

TEST(OwnEffect, SendsItsSlopeBack) {
  const Matrix w = testing::normals(5, 8, 1, 0.3F), x = testing::normals(3, 8, 2), dy = testing::normals(3, 5, 3);
  LearningLayer layer(linear(true), w.view(), {}, {});
  Matrix y(3, 5), dx(3, 8);
  layer.forward(x.view(), y.view(), {});
  layer.backward(x.view(), dy.view(), dx.view(), {});
  for (std::int64_t r = 0; r < 3; ++r)
    for (std::int64_t k = 0; k < 8; ++k) {
      double expected = 0.0;
      for (std::int64_t i = 0; i < 5; ++i) {
        double v = 0.0;
        for (std::int64_t j = 0; j < 8; ++j) v += static_cast<double>(w(i, j)) * static_cast<double>(x(r, j));
        expected += static_cast<double>(dy(r, i)) * (2.0 - 0.5 * v) * static_cast<double>(w(i, k));
      }
      EXPECT_NEAR(dx(r, k), expected, 1e-5);
    }
}

}  // namespace
}  // namespace tessera::tile
