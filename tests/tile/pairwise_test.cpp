// Does every option work with every other? Each pair gives finite results that repeat and depend on neither threads nor
// batches, or a configuration error that says why.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

struct Option {
  std::string name;
  std::string group;  // options of one group set the same field
  std::function<void(RpuParameters&)> set;
};

template <class Field, class Value>
Option io(std::string name, Field IOParameters::*field, Value value) {
  return {name, name.substr(0, name.find('=')),
          [field, value](RpuParameters& p) { p.forward.*field = static_cast<Field>(value); }};
}

std::vector<Option> options() {
  using IO = IOParameters;
  std::vector<Option> all{io("is_perfect=true", &IO::is_perfect, true),
                          io("inp_bound=0.7", &IO::inp_bound, 0.7),
                          io("inp_bound=-1", &IO::inp_bound, -1.0),
                          io("inp_noise=0.1", &IO::inp_noise, 0.1),
                          io("inp_res=14", &IO::inp_res, 14.0),
                          io("inp_res=-1", &IO::inp_res, -1.0),
                          io("inp_sto_round=true", &IO::inp_sto_round, true),
                          io("inp_asymmetry=0.1", &IO::inp_asymmetry, 0.1),
                          io("out_bound=0.5", &IO::out_bound, 0.5),
                          io("out_bound=0", &IO::out_bound, 0.0),
                          io("out_noise=0", &IO::out_noise, 0.0),
                          io("out_noise_std=0.5", &IO::out_noise_std, 0.5),
                          io("out_res=-1", &IO::out_res, -1.0),
                          io("out_res=30", &IO::out_res, 30.0),
                          io("out_sto_round=true", &IO::out_sto_round, true),
                          io("out_scale=2.5", &IO::out_scale, 2.5),
                          io("out_asymmetry=-0.1", &IO::out_asymmetry, -0.1),
                          io("w_noise=0.05", &IO::w_noise, 0.05),
                          io("ir_drop=1", &IO::ir_drop, 1.0),
                          io("ir_drop_g_ratio=100", &IO::ir_drop_g_ratio, 100.0),
                          io("out_nonlinearity=0.4", &IO::out_nonlinearity, 0.4),
                          io("out_nonlinearity_std=0.2", &IO::out_nonlinearity_std, 0.2),
                          io("slope_calibration=0.5", &IO::slope_calibration, 0.5),
                          io("v_offset_std=0.05", &IO::v_offset_std, 0.05),
                          io("v_offset_w_min=0", &IO::v_offset_w_min, 0.0),
                          io("r_series=0.02", &IO::r_series, 0.02),
                          io("w_read_asymmetry_dtod=0.1", &IO::w_read_asymmetry_dtod, 0.1),
                          io("max_bm_factor=2", &IO::max_bm_factor, 2),
                          io("max_bm_res=0.05", &IO::max_bm_res, 0.05),
                          io("bm_test_negative_bound=false", &IO::bm_test_negative_bound, false),
                          io("nm_thres=0.8", &IO::nm_thres, 0.8),
                          io("split_mode_bit_shift=4", &IO::split_mode_bit_shift, 4)};
  for (const auto& [name, type] : {std::pair{"IDEAL", AnalogMVType::IDEAL},
                                   {"POS_NEG_SEPARATE", AnalogMVType::POS_NEG_SEPARATE},
                                   {"POS_NEG_SEPARATE_DIGITAL_SUM", AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM},
                                   {"SPLIT_MODE", AnalogMVType::SPLIT_MODE},
                                   {"BIT_WISE", AnalogMVType::BIT_WISE}})
    all.push_back(io(std::string("mv_type=") + name, &IO::mv_type, type));
  for (const auto& [name, type] : {std::pair{"NONE", NoiseManagementType::NONE},
                                   {"MAX", NoiseManagementType::MAX},
                                   {"CONSTANT", NoiseManagementType::CONSTANT},
                                   {"ABS_MAX_NP_SUM", NoiseManagementType::ABS_MAX_NP_SUM},
                                   {"AVERAGE_ABS_MAX", NoiseManagementType::AVERAGE_ABS_MAX}})
    all.push_back(io(std::string("noise_management=") + name, &IO::noise_management, type));
  for (const auto& [name, type] : {std::pair{"NONE", BoundManagementType::NONE},
                                   {"ITERATIVE_WORST_CASE", BoundManagementType::ITERATIVE_WORST_CASE},
                                   {"SHIFT", BoundManagementType::SHIFT}})
    all.push_back(io(std::string("bound_management=") + name, &IO::bound_management, type));
  for (const auto& [name, type] :
       {std::pair{"ADDITIVE_CONSTANT", WeightNoiseType::ADDITIVE_CONSTANT}, {"PCM_READ", WeightNoiseType::PCM_READ}})
    all.push_back(io(std::string("w_noise_type=") + name, &IO::w_noise_type, type));

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
  add("input_range=1.5", [](RpuParameters& p) {
    p.pre_post.input_range.enable = true;
    p.pre_post.input_range.init_value = 1.5;
  });
  add("manage_output_clipping=true", [](RpuParameters& p) { p.pre_post.input_range.manage_output_clipping = true; });
  add("periph=4", [](RpuParameters& p) { p.pre_post.periph_quant.n_bits = 4; });
  add("periph=1", [](RpuParameters& p) { p.pre_post.periph_quant.n_bits = 1; });
  add("periph_symmetric=false", [](RpuParameters& p) { p.pre_post.periph_quant.symmetric = false; });
  add("periph_per_column=true", [](RpuParameters& p) { p.pre_post.periph_quant.per_column = true; });
  add("periph_scale=false", [](RpuParameters& p) { p.pre_post.periph_quant.scale = false; });
  add("periph_bias=false", [](RpuParameters& p) { p.pre_post.periph_quant.bias = false; });
  add("periph_power_of_two=true", [](RpuParameters& p) { p.pre_post.periph_quant.power_of_two = true; });
  add("periph_learned=true", [](RpuParameters& p) { p.pre_post.periph_quant.learn_quant_params = true; });
  add("act_quant=6", [](RpuParameters& p) { p.act_quant_config = ActivationQuantConfig{.n_bits = 6}; });
  add("act_quant=MSE", [](RpuParameters& p) {
    p.act_quant_config = ActivationQuantConfig{
        .n_bits = 3, .range_estimator = RangeEstimator::MSE, .num_candidates = 8, .golden_section = false};
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
    const auto has = [&](const char* word) { return pair.find(word) != std::string::npos; };
    const bool codes = has("SPLIT_MODE") || has("BIT_WISE");
    EXPECT_TRUE(has("SHIFT") || (codes && (has("inp_bound=-1") || has("inp_res=-1"))) ||
                (has("SPLIT_MODE") && (has("split_mode_bit_shift=4") || has("inp_res=14"))) ||
                (has("manage_output_clipping") && has("input_range")) || has("periph=1"))
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
