#include "tessera/quant/state_quant.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "golden.hpp"
#include "tessera/random/stream.hpp"

// Do the level tables and the choice of a level keep their contract beyond the golden numbers: properties, every float
// around a decision, extreme states, tables of one's own, errors?
namespace tessera::quant {
namespace {

TEST(StateQuant, PropertiesOfTheTables) {
  std::vector<float> x(6000);
  random::fill_normal(random::Stream({.seed = 4}, random::Purpose::test), 0, 0, x);
  std::sort(x.begin(), x.end());
  for (const bool uniform : {true, false}) {
    for (const bool thr_centered : {true, false}) {
      for (int bits = 1; bits <= 10; ++bits) {  // beyond, the smallest steps vanish in double
        SCOPED_TRACE(fmt::format("{} {} {}", uniform, thr_centered, bits));
        const StateQuantParameters p{.num_bits = bits, .uniform = uniform, .thr_centered = thr_centered};
        const StateQuant quantizer(p);
        const std::vector<float>& levels = quantizer.levels();
        ASSERT_EQ(levels.size(), std::size_t{1} << bits);
        EXPECT_TRUE(std::is_sorted(levels.begin(), levels.end()));
        EXPECT_NEAR(levels.back(), 1.2f, 1e-6f);
        std::vector<float> y(x.size()), again(x.size()), scanned(x.size());
        quantizer.forward(x, y);
        quantizer.forward(y, again);
        EXPECT_EQ(y, again) << "idempotent";
        EXPECT_TRUE(std::is_sorted(y.begin(), y.end())) << "monotone";
        for (std::size_t i = 0; i < x.size(); ++i) {  // the definition, level by level
          std::size_t best = 0;
          for (std::size_t k = 1; k < levels.size(); ++k) {
            if (std::abs(levels[k] - x[i]) < std::abs(levels[best] - x[i])) best = k;
          }
          ASSERT_EQ(y[i], levels[best]) << x[i];
        }
        StateQuant(levels, LevelRule::peer_distance).forward(x, scanned);
        EXPECT_EQ(y, scanned) << "both rules agree within reach of the levels";
      }
    }
  }
}

TEST(StateQuant, EveryFloatAroundADecision) {
  // Thousands of neighbouring floats at each border between two levels, against the definition.
  for (const int bits : {5, 8}) {
    const StateQuant quantizer(StateQuantParameters{.num_bits = bits, .uniform = false});
    const std::vector<float>& levels = quantizer.levels();
    for (std::size_t k = 0; k + 1 < levels.size(); k += 7) {
      std::vector<float> x{(levels[k] + levels[k + 1]) / 2};
      for (int i = 0; i < 200; ++i) x.push_back(std::nextafter(x.back(), -INFINITY));
      float up = x[0];
      for (int i = 0; i < 200; ++i) x.push_back(up = std::nextafter(up, INFINITY));
      std::vector<float> y(x.size());
      quantizer.forward(x, y);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto nearer = [&](float a, float b) { return std::abs(a - x[i]) < std::abs(b - x[i]); };
        ASSERT_EQ(y[i], *std::min_element(levels.begin(), levels.end(), nearer)) << k << " " << x[i];
      }
    }
  }
}

TEST(StateQuant, ExtremeStatesSaturateUnlessThePeerIsAskedFor) {
  const std::vector<float> x{INFINITY, -INFINITY, 1e30f, -1e30f, NAN};
  for (const int bits : {3, 8}) {
    const StateQuant quantizer(StateQuantParameters{.num_bits = bits});
    std::vector<float> y(x.size());
    quantizer.forward(x, y);
    EXPECT_EQ(y[0], quantizer.levels().back());
    EXPECT_EQ(y[1], quantizer.levels().front());
    EXPECT_EQ(y[2], quantizer.levels().back());
    EXPECT_EQ(y[3], quantizer.levels().front());
    EXPECT_TRUE(std::isnan(y[4]));
    StateQuant(quantizer.levels(), LevelRule::peer_distance).forward(x, y);
    for (const float v : y) EXPECT_EQ(v, quantizer.levels().front());
  }
}

TEST(StateQuant, TablesOfOnesOwn) {
  std::vector<float> y(3);
  const std::vector<float> x{-9.0f, 0.4f, 0.6f};
  StateQuant(std::vector<float>{0.5f}).forward(x, y);
  EXPECT_EQ(y, (std::vector<float>{0.5f, 0.5f, 0.5f}));
  StateQuant(std::vector<float>{1.0f, 0.0f, -1.0f}).forward(x, y);
  EXPECT_EQ(y, (std::vector<float>{-1.0f, 0.0f, 1.0f})) << "in any order";
  StateQuant(std::vector<float>{0.0f, 0.0f, 1.0f}).forward(x, y);
  EXPECT_EQ(y, (std::vector<float>{0.0f, 0.0f, 1.0f})) << "with repetitions";
}

TEST(StateQuant, NonsenseIsRefused) {
  EXPECT_THROW(StateQuant(std::vector<float>{}), ConfigError);
  EXPECT_THROW(StateQuant(std::vector<float>{1.0f, NAN}), ConfigError);
  const auto refuse = [](const StateQuantParameters& p) { EXPECT_THROW(state_levels(p), ConfigError); };
  refuse({.num_bits = 0});
  refuse({.num_bits = -1});
  refuse({.num_bits = 40});
  refuse({.threshold = NAN});
  refuse({.upper_limit = INFINITY});
  refuse({.uniform = false, .threshold = 0.0});
  refuse({.uniform = false, .multiplier = 0.0});
  refuse({.uniform = false, .multiplier = -1.0});
  refuse({.uniform = false, .thr_centered = false, .lower_limit = -2.0});
  refuse({.threshold = 1e39});
  refuse({.threshold = 0.0});                                                             // all levels at zero
  refuse({.num_bits = 4, .lower_limit = -1.0, .upper_limit = -1.0});                      // the same with a threshold
  refuse({.threshold = 1e-50});                                                           // and in float32
  refuse({.num_bits = 16, .threshold = 1.0, .lower_limit = -2.0, .upper_limit = 0.001});  // some of them coincide
}

}  // namespace
}  // namespace tessera::quant
