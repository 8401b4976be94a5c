// Are the gradients of a learning layer those of its forward pass at a fixed draw?
//
// The check is independent of the library's arithmetic: a scalar model of the pass in double precision, in which every
// rounding step adds the constant that it added at the point of interest (straight-through), takes part in central
// differences. The model's own output is compared with the layer's first, so it does model the pass. The largest
// relative errors are those of docs/models/learning.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>

#include "tessera/tile/learning.hpp"
#include "tile/scalar_model.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

using testing::inputs;
using testing::Model;
using testing::normals;
using testing::outputs;
using testing::Point;
using testing::vectors;

struct Case {
  std::string name;
  std::function<void(RpuParameters&)> change;
};

RpuParameters plain() {
  RpuParameters p;
  p.forward.out_noise = 0.0;
  p.forward.noise_management = NoiseManagementType::NONE;
  p.forward.bound_management = BoundManagementType::NONE;
  p.forward.inp_bound = 2.0;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.pre_post.input_range.init_from_data = 0;
  p.pre_post.input_range.decay = 0.0;
  // Clipping's own gradient (quantization reference D.4) is 1[x >= r] d: that of the clip, where it enlarges r only.
  p.pre_post.input_range.gradient_relative = false;
  return p;
}

void ranged(RpuParameters& p) {
  p.pre_post.input_range.enable = true;
  p.pre_post.input_range.init_value = 3.3;  // beyond all inputs: clipping has its golden cases
  p.forward.inp_bound = 1.0;
}

// Lets activation quantizers learn, from ranges that clip. By 0.6 some sums of several tiles would lie on a rounding
// tie, where float and double part; 0.37, 0.53, 0.61 and 0.67 agree as 0.45 does.
void shrink_activation_ranges(LearningLayer& layer) {
  layer.learn_activation_ranges(true);
  for (const LearnedValue& v : layer.values())
    if (v.kind == LearnedKind::activation_range && v.name.ends_with("delta")) v.value[0] *= 0.45F;
  layer.updated();
}

void quantized_activations(RpuParameters& p, bool symmetric) {
  p.act_quant_config.emplace();
  p.act_quant_config->n_bits = 5;
  p.act_quant_config->symmetric = symmetric;
}

class LearningGradient : public ::testing::TestWithParam<Case> {};

TEST_P(LearningGradient, EqualsCentralDifferencesOfTheModel) {
  RpuParameters p = plain();
  GetParam().change(p);
  const Matrix w = normals(outputs, inputs, 21, 0.6F);
  Matrix x = normals(vectors, inputs, 22, 0.9F);
  for (float& v : x.values()) v = std::copysign(std::max(std::fabs(v), 0.053F), v);  // away from kinks at 0
  const Matrix dy = normals(vectors, outputs, 23);
  const Matrix b = normals(1, outputs, 24);
  constexpr std::uint64_t seed = 5;
  LearningLayer layer(p, w.view(), b.values(), {.seed = seed});
  if (p.mapping.learn_out_scaling) {
    for (const LearnedValue& v : layer.values())
      if (v.kind == LearnedKind::output_scale)
        for (std::size_t i = 0; i < v.value.size(); ++i) v.value[i] = 0.8F + 0.1F * static_cast<float>(i);
    layer.updated();
  }
  Matrix y(vectors, outputs);
  Matrix dx(vectors, inputs);
  layer.forward(x.view(), y.view(), {});
  const bool activations = p.act_quant_config.has_value();
  if (activations) shrink_activation_ranges(layer);
  layer.forward(x.view(), y.view(), {});  // the second one of a learned periphery learns
  layer.backward(x.view(), dy.view(), dx.view(), {});

  Point point;
  point.w.assign(layer.weight().data, layer.weight().data + outputs * inputs);
  point.b.assign(layer.bias().begin(), layer.bias().end());
  point.x.assign(x.values().begin(), x.values().end());
  const AnalogLayer analog = layer.analog_layer();
  for (std::int64_t t = 0; t < analog.tile_count(); ++t) {
    const TileState& state = layer.state().tiles[static_cast<std::size_t>(t)];
    point.r.push_back(static_cast<double>(state.input_range));
    for (std::size_t i = 0; i < static_cast<std::size_t>(outputs) && !state.output_scale.empty(); ++i)
      point.s.push_back(static_cast<double>(state.output_scale[std::min(i, state.output_scale.size() - 1)]));
    if (!state.scale_quantizer.delta.empty())
      point.delta.push_back(static_cast<double>(state.scale_quantizer.delta[0]));
  }
  if (!layer.state().bias_quantizer.delta.empty())
    point.delta.push_back(static_cast<double>(layer.state().bias_quantizer.delta[0]));

  for (const LearnedValue& v : layer.values())
    if (v.kind == LearnedKind::activation_range)
      (v.name.ends_with("delta") ? point.step : point.zero).push_back(static_cast<double>(v.value[0]));

  Model model(layer, seed);
  const std::vector<double> modelled = model.run(point);
  double largest = 0.0;
  for (const double v : modelled) largest = std::max(largest, std::fabs(v));
  for (std::size_t i = 0; i < modelled.size(); ++i)
    ASSERT_NEAR(static_cast<double>(y.values()[i]), modelled[i], 2e-5 * largest) << "output " << i;

  if (activations) {
    EXPECT_GT(model.clipped_activations, 2);
  }

  const auto loss = [&] {
    const std::vector<double> out = model.run(point);
    double sum = 0.0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * static_cast<double>(dy.values()[i]);
    return sum;
  };
  // Differences for values that move together: a scale that outputs share.
  const auto difference = [&](std::vector<double>& values, std::size_t first, std::size_t count) {
    constexpr double h = 1e-5;
    for (std::size_t i = 0; i < count; ++i) values[first + i] += h;
    const double above = loss();
    for (std::size_t i = 0; i < count; ++i) values[first + i] -= 2.0 * h;
    const double below = loss();
    for (std::size_t i = 0; i < count; ++i) values[first + i] += h;
    return (above - below) / (2.0 * h);
  };
  std::map<std::string, double> errors;
  const auto compare = [&](const std::string& what, std::span<const float> gradient, std::vector<double>& values,
                           std::size_t first, std::size_t shared) {
    double scale = 0.0;
    std::vector<double> expected(gradient.size());
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      expected[i] = difference(values, first + i, shared);
      scale = std::max(scale, std::fabs(expected[i]));
    }
    EXPECT_GT(scale, 0.0) << what;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      const double error = std::fabs(static_cast<double>(gradient[i]) - expected[i]) / scale;
      errors[what] = std::max(errors[what], error);
      EXPECT_LT(error, 2e-4) << what << " " << i << ": " << gradient[i] << " and " << expected[i];
    }
  };
  compare("x", dx.values(), point.x, 0, 1);
  std::size_t tile = 0, step = 0, zero = 0;
  for (const LearnedValue& v : layer.values()) {
    if (v.kind == LearnedKind::weight) compare("W", v.gradient, point.w, 0, 1);
    if (v.kind == LearnedKind::bias) compare("b", v.gradient, point.b, 0, 1);
    if (v.kind == LearnedKind::input_range && !p.forward.is_perfect) compare("r", v.gradient, point.r, tile++, 1);
    if (v.kind == LearnedKind::output_scale) {
      ASSERT_EQ(analog.tile_count(), 1);
      compare("s", v.gradient, point.s, 0, v.value.size() == 1 ? static_cast<std::size_t>(outputs) : 1);
    }
    if (v.kind == LearnedKind::scale_range) compare("delta of S", v.gradient, point.delta, 0, 1);
    if (v.kind == LearnedKind::bias_range) compare("delta of b", v.gradient, point.delta, point.delta.size() - 1, 1);
    if (v.kind == LearnedKind::activation_range && v.name.ends_with("delta"))
      compare("step of a", v.gradient, point.step, step++, 1);
    if (v.kind == LearnedKind::activation_range && v.name.ends_with("zero_float"))
      compare("zero of a", v.gradient, point.zero, zero++, 1);
  }
  EXPECT_EQ(step, activations ? (analog.tile_count() > 1 ? point.step.size() : 1U) : 0U);
  for (const auto& [what, error] : errors) RecordProperty("relative_error_" + what, std::to_string(error));
  if (std::getenv("TESSERA_PRINT_ERRORS") != nullptr) {
    printf("| %s |", GetParam().name.c_str());
    for (const char* what : {"W", "x", "b", "r", "s", "delta of S", "delta of b", "step of a", "zero of a"}) {
      if (errors.contains(what))
        printf(" %.0e |", errors.at(what));
      else
        printf(" |");
    }
    printf("\n");
  }
}

void learned_periphery(RpuParameters& p) {
  p.pre_post.periph_quant.n_bits = 5;
  p.pre_post.periph_quant.learn_quant_params = true;
  p.pre_post.periph_quant.init_learning_after = 1;
}

INSTANTIATE_TEST_SUITE_P(Effects, LearningGradient,
                         ::testing::Values(Case{"perfect", [](RpuParameters& p) { p.forward.is_perfect = true; }},
                                           Case{"dac_and_adc", [](RpuParameters&) {}},
                                           Case{"adc_that_clips", [](RpuParameters& p) { p.forward.out_bound = 1.0; }},
                                           Case{"dac_that_clips", [](RpuParameters& p) { p.forward.inp_bound = 0.7; }},
                                           Case{"input_and_output_noise",
                                                [](RpuParameters& p) {
                                                  p.forward.out_noise = 0.06;
                                                  p.forward.inp_noise = 0.05;
                                                }},
                                           Case{"asymmetries",
                                                [](RpuParameters& p) {
                                                  p.forward.inp_asymmetry = 0.1;
                                                  p.forward.out_asymmetry = 0.2;
                                                }},
                                           Case{"pcm_read",
                                                [](RpuParameters& p) {
                                                  p.forward.w_noise = 0.1;
                                                  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
                                                  p.forward.out_noise = 0.04;
                                                }},
                                           Case{"additive_weight_noise",
                                                [](RpuParameters& p) {
                                                  p.forward.w_noise = 0.1;
                                                  p.forward.w_noise_type = WeightNoiseType::ADDITIVE_CONSTANT;
                                                }},
                                           Case{"ir_drop",
                                                [](RpuParameters& p) {
                                                  p.forward.ir_drop = 1.0;
                                                  p.forward.ir_drop_g_ratio = 200.0;
                                                }},
                                           Case{"offset_and_series_resistance",
                                                [](RpuParameters& p) {
                                                  p.forward.v_offset_std = 0.1;
                                                  p.forward.r_series = 0.05;
                                                }},
                                           Case{"saturation_and_pcm_read",
                                                [](RpuParameters& p) {
                                                  p.forward.out_nonlinearity = 0.5;
                                                  p.forward.out_nonlinearity_std = 0.3;
                                                  p.forward.slope_calibration = 0.5;
                                                  p.forward.w_noise = 0.05;
                                                  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
                                                }},
                                           Case{"separate_signs",
                                                [](RpuParameters& p) {
                                                  p.forward.mv_type = AnalogMVType::POS_NEG_SEPARATE;
                                                  p.forward.w_read_asymmetry_dtod = 0.2;
                                                  p.forward.w_noise = 0.05;
                                                  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
                                                }},
                                           Case{"digital_sum_of_signs",
                                                [](RpuParameters& p) {
                                                  p.forward.mv_type = AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
                                                  p.forward.w_read_asymmetry_dtod = 0.2;
                                                  p.forward.w_noise = 0.05;
                                                  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
                                                  p.forward.out_noise = 0.04;
                                                  p.forward.out_bound = 2.0;  // some currents are clipped
                                                }},
                                           Case{"out_scale",
                                                [](RpuParameters& p) {
                                                  ranged(p);
                                                  p.forward.out_scale = 1.7;
                                                  p.forward.out_noise = 0.04;
                                                }},
                                           Case{"activation_range",
                                                [](RpuParameters& p) {
                                                  ranged(p);
                                                  quantized_activations(p, true);
                                                }},
                                           Case{"activation_range_asymmetric",
                                                [](RpuParameters& p) {
                                                  p.forward.out_noise = 0.04;
                                                  quantized_activations(p, false);
                                                }},
                                           Case{"activation_ranges_of_several_tiles",
                                                [](RpuParameters& p) {
                                                  quantized_activations(p, false);
                                                  p.mapping.max_input_size = 4;
                                                  p.mapping.max_output_size = 4;
                                                }},
                                           Case{"abs_max_scale",
                                                [](RpuParameters& p) {
                                                  p.forward.noise_management = NoiseManagementType::ABS_MAX;
                                                  p.forward.inp_bound = 1.5;  // the largest input: 42 steps, no tie
                                                }},
                                           Case{"input_range", ranged},
                                           Case{"analog_bias",
                                                [](RpuParameters& p) {
                                                  p.mapping.digital_bias = false;
                                                  p.forward.inp_bound = 1.5;  // the line at 1: 42 steps, no tie
                                                  p.forward.inp_noise = 0.05;
                                                }},
                                           Case{"analog_bias_and_input_range",
                                                [](RpuParameters& p) {
                                                  ranged(p);
                                                  p.mapping.digital_bias = false;
                                                  p.forward.ir_drop = 1.0;
                                                  p.forward.ir_drop_g_ratio = 200.0;
                                                }},
                                           Case{"analog_bias_beyond_the_dac",
                                                [](RpuParameters& p) {
                                                  ranged(p);
                                                  p.mapping.digital_bias = false;
                                                  p.forward.inp_bound = 0.25;  // 1 / r lies beyond it
                                                  p.forward.out_noise = 0.06;
                                                }},
                                           Case{"input_range_and_noise",
                                                [](RpuParameters& p) {
                                                  ranged(p);
                                                  p.forward.out_noise = 0.06;
                                                  p.forward.w_noise = 0.05;
                                                  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
                                                }},
                                           Case{"output_scale",
                                                [](RpuParameters& p) {
                                                  ranged(p);
                                                  p.mapping.learn_out_scaling = true;
                                                }},
                                           Case{"output_scales",
                                                [](RpuParameters& p) {
                                                  p.mapping.learn_out_scaling = true;
                                                  p.mapping.out_scaling_columnwise = true;
                                                }},
                                           Case{"quantized_periphery",
                                                [](RpuParameters& p) {
                                                  ranged(p);
                                                  learned_periphery(p);
                                                  p.mapping.learn_out_scaling = true;
                                                  p.mapping.out_scaling_columnwise = true;
                                                }},
                                           Case{"several_tiles",
                                                [](RpuParameters& p) {
                                                  ranged(p);
                                                  p.forward.out_noise = 0.06;
                                                  p.mapping.max_input_size = 4;
                                                  p.mapping.max_output_size = 4;
                                                }},
                                           Case{"hardware_aware_preset",
                                                [](RpuParameters& p) {
                                                  ranged(p);
                                                  p.forward.out_noise = 0.04;
                                                  p.forward.inp_res = 254;
                                                  p.forward.out_res = 254;
                                                  p.forward.out_bound = 10.0;
                                                  p.forward.w_noise = 0.0175;
                                                  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
                                                  p.forward.ir_drop = 1.0;
                                                  p.mapping.learn_out_scaling = true;
                                                  p.mapping.out_scaling_columnwise = true;
                                                }}),
                         [](const auto& each) { return each.param.name; });

// Effects that change values of lines and columns by a law of their own, as their examples have them.
std::vector<Case> effects_with_references() {
  std::vector<Case> cases;
  for (const Effect& effect : effects()) {
    if (effect.line_reference == nullptr && effect.column_reference == nullptr) continue;
    for (const AnalogMVType type : {AnalogMVType::ONE_PASS, AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM}) {
      std::string name = effect.name + (type == AnalogMVType::ONE_PASS ? "" : "_by_sign");
      std::replace(name.begin(), name.end(), ' ', '_');
      cases.push_back({name, [&effect, type](RpuParameters& p) {
                         for (const EffectKey& key : effect.keys)
                           if (!key.examples.empty()) key.set(p, key.examples.front());
                         p.forward.mv_type = type;
                         p.forward.inp_bound = 1.9;  // laws may have a kink there: by 2 an input lies on the top code
                       }});
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Own, LearningGradient, ::testing::ValuesIn(effects_with_references()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace tessera::tile
