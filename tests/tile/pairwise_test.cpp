// Does every option work with every other? Each pair gives finite results that repeat and depend on neither threads nor
// batches, or a configuration error that says why.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>

#include "tessera/tile/effects.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

struct Option {
  std::string name;
  std::string group;  // options of one group set the same field
  std::function<void(RpuParameters&)> set;
};

// The examples of all effects, and what has none: mapping, and settings that need several values.
std::vector<Option> options() {
  std::vector<Option> all;
  for (const Effect& effect : effects())
    for (const EffectKey& key : effect.keys)
      for (const double value : key.examples)
        all.push_back({fmt::format("{}={}", key.key, value), key.key,
                       [set = key.set, value](RpuParameters& p) { set(p, value); }});
  const auto add = [&](std::string name, std::function<void(RpuParameters&)> set) {
    all.push_back({name, name.substr(0, name.find('=')), std::move(set)});
  };
  add("omega=1", [](RpuParameters& p) { p.mapping.weight_scaling_omega = 1.0; });
  add("columnwise=true", [](RpuParameters& p) { p.mapping.weight_scaling_columnwise = true; });
  add("digital_bias=false", [](RpuParameters& p) { p.mapping.digital_bias = false; });
  add("learn_out_scaling=true", [](RpuParameters& p) { p.mapping.learn_out_scaling = true; });
  add("max_input_size=9", [](RpuParameters& p) { p.mapping.max_input_size = 9; });
  add("max_output_size=5", [](RpuParameters& p) { p.mapping.max_output_size = 5; });
  add("max_output_size=0", [](RpuParameters& p) { p.mapping.max_output_size = 0; });
  add("act_quant=6", [](RpuParameters& p) { p.act_quant_config = ActivationQuantConfig{.n_bits = 6}; });
  add("act_quant=MSE", [](RpuParameters& p) {
    p.act_quant_config = ActivationQuantConfig{
        .n_bits = 3, .range_estimator = RangeEstimator::MSE, .num_candidates = 8, .golden_section = false};
  });
  add("fixed_point=1", [](RpuParameters& p) {
    p.forward.noise_management = NoiseManagementType::NONE;
    p.pre_post.fixed_point.emplace();
    p.pre_post.fixed_point->scale.integer_bits = 4;
    p.pre_post.fixed_point->scale.is_signed = true;
  });
  return all;
}

TEST(Pairwise, EveryPairWorksOrIsRefusedWithAReason) {
  const std::vector<Option> all = options();
  const Matrix w = testing::normals(7, 20, 1, 0.4F);
  const Matrix bias = testing::normals(1, 7, 2, 0.3F);
  Matrix x = testing::normals(18, 20, 3);
  for (float& v : x.view().row_span(4)) v = 0.0F;
  for (float& v : x.view().row_span(5)) v = -std::fabs(v);
  std::set<std::string> refused;
  int worked = 0;
  for (std::size_t a = 0; a < all.size(); ++a) {
    for (std::size_t b = a; b < all.size(); ++b) {
      if (a != b && all[a].group == all[b].group) continue;
      const std::string pair = all[a].name + " with " + all[b].name;
      SCOPED_TRACE(pair);
      RpuParameters p;
      all[a].set(p);
      all[b].set(p);
      try {
        AnalogLayer layer(p, w.view(), bias.values(), {.seed = 3});
        Matrix trained(x.rows(), 7);
        layer.forward_training(x.view(), trained.view(), {});
        const Matrix y = testing::run(layer, x, {.first_vector = 100});
        for (const float v : y.values()) ASSERT_TRUE(std::isfinite(v));
        for (const float v : trained.values()) ASSERT_TRUE(std::isfinite(v));
        LayerStatistics statistics;
        Matrix split(x.rows(), 7);
        for (std::int64_t r = 0; r < x.rows(); r += 5) {
          const std::int64_t n = std::min<std::int64_t>(5, x.rows() - r);
          layer.forward(
              x.view().rows_from(r, n), split.view().rows_from(r, n),
              {.first_vector = 100 + static_cast<std::uint64_t>(r), .parallel = {2}, .statistics = &statistics});
        }
        for (std::size_t i = 0; i < y.values().size(); ++i) ASSERT_EQ(y.values()[i], split.values()[i]);
        ++worked;
      } catch (const ConfigError& error) {
        ASSERT_FALSE(error.problems().empty());
        for (const Problem& problem : error.problems()) {
          EXPECT_FALSE(problem.key.empty());
          EXPECT_GT(problem.message.size(), 20U);
        }
        refused.insert(pair);
      }
    }
  }
  // What is refused has one of these reasons; everything else works.
  for (const std::string& pair : refused) {
    const auto has = [&](const std::string& word) { return pair.find(word) != std::string::npos; };
    const std::string mode = "forward.mv_type=", split = mode + "4", bits = mode + "5";  // SPLIT_MODE, BIT_WISE
    EXPECT_TRUE(has("forward.bound_management=3") ||                                     // SHIFT
                ((has(split) || has(bits)) && (has("forward.inp_bound=-1") || has("forward.inp_res=-1"))) ||
                (has(split) && (has("split_mode_bit_shift=4") || has("forward.inp_res=14"))) ||
                (has("manage_output_clipping") && has("input_range.enable")) || has("periph_quant.n_bits=1") ||
                // No codes to multiply, codes that are no integers, too large ones, or two quantizers of one thing.
                (has("fixed_point=1") && (has("forward.out_res=") || has("forward.out_bound=0") || has("is_perfect") ||
                                          has(mode + "0") || has(split) || has(bits) || has("bound_management=2") ||
                                          has("periph_quant.n_bits") || has("act_quant"))))
        << pair;
  }
  EXPECT_GT(worked, 1500);
  EXPECT_LT(refused.size(), 200U);
}

// Batches large enough to be shared out.
TEST(Pairwise, NoOptionDependsOnTheThreadCount) {
  const Matrix w = testing::normals(24, 30, 1, 0.4F);
  const Matrix x = testing::normals(700, 30, 3);
  int worked = 0;
  for (const Option& option : options()) {
    SCOPED_TRACE(option.name);
    RpuParameters p;
    p.forward.out_bound = 1.5;
    option.set(p);
    if (p.forward.bound_management == BoundManagementType::SHIFT || p.act_quant_config) continue;
    if (p.pre_post.fixed_point) p.pre_post.fixed_point->output.range = 4.0;
    const AnalogLayer layer(p, w.view(), {}, {.seed = 3});
    const Matrix one = testing::run(layer, x);
    for (const int threads : {2, 3}) {
      const Matrix many = testing::run(layer, x, {.parallel = {threads}});
      for (std::size_t i = 0; i < one.values().size(); ++i) ASSERT_EQ(one.values()[i], many.values()[i]);
    }
    ++worked;
  }
  EXPECT_GT(worked, 55);
}

}  // namespace
}  // namespace tessera::tile
