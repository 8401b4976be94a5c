// Do gradients of input ranges, their learning, and the switch to learned quantizer ranges follow the peer, step by
// step? Every case of the files is compared; where the peer's engines contradict each other or themselves, the test
// says what is expected instead.
#include <gtest/gtest.h>

#include <cmath>

#include "golden/json_cases.hpp"
#include "tessera/tile/learning.hpp"

namespace tessera::golden {
namespace {

using config::Node;
using tile::BackwardRule;
using tile::LearningLayer;

tile::LearnedValue find(LearningLayer& layer, const std::string& name) {
  for (const tile::LearnedValue& v : layer.values())
    if (v.name == name) return v;
  throw InputError("no learned value " + name);
}

Matrix step_of(const Tensor& t, std::int64_t step) {
  const std::int64_t size = t.dim(1) * t.dim(2);
  return Matrix(t.dim(1), t.dim(2),
                t.values().subspan(static_cast<std::size_t>(step * size), static_cast<std::size_t>(size)));
}

TEST(LearningGolden, GradientsOfInputRangesAgree) {
  const Node root = read_json("aihwkit_periphery.json");
  int cases = 0;
  for (const Node& c : at(root, "input_range_gradient").items) {
    const std::string id = at(c, "id").scalar;
    tile::RpuParameters p;
    if (at(c, "dac_inp_res").is_null()) {
      p.forward.is_perfect = true;
    } else {
      p.forward.inp_res = number(at(c, "dac_inp_res"));
      p.forward.out_res = -1.0;
      p.forward.out_bound = 0.0;
      p.forward.out_noise = 0.0;
      p.forward.noise_management = tile::NoiseManagementType::NONE;
      p.forward.bound_management = tile::BoundManagementType::NONE;
    }
    auto& range = p.pre_post.input_range;
    range.enable = true;
    const Node& given = at(c, "input_range_params");
    const auto read = [&](const char* key, double& to) {
      if (given.find(key) != nullptr) to = number(at(given, key));
    };
    range.init_from_data = 0;
    read("init_value", range.init_value);
    read("decay", range.decay);
    read("gradient_scale", range.gradient_scale);
    read("input_min_percentage", range.input_min_percentage);
    if (given.find("gradient_relative") != nullptr)
      range.gradient_relative = at(given, "gradient_relative").scalar == "true";
    const Matrix x = matrix(at(c, "x"));
    const Matrix weight = matrix(at(c, "weight"));
    for (const BackwardRule rule : {BackwardRule::straight_through, BackwardRule::perfect_product}) {
      LearningLayer layer(p, weight.view(), {}, {}, {.backward = rule});
      Matrix y(x.rows(), weight.rows());
      Matrix dx(x.rows(), x.cols());
      layer.forward(x.view(), y.view(), {});
      expect_near(y, matrix(at(c, "y")), 1e-5, id + " y");
      layer.backward(x.view(), matrix(at(c, "grad_out")).view(), dx.view(), {});
      const double gradient = static_cast<double>(find(layer, "tile0.input_range").gradient[0]);
      if (rule == BackwardRule::straight_through) {
        expect_near(dx, matrix(at(c, "grad_x")), 1e-5, id + " grad_x");
        const auto total = static_cast<double>(array(at(c, "grad_input_range_total")).values()[0]);
        EXPECT_NEAR(gradient, total, 2e-4 * std::max(1.0, std::fabs(total))) << id;
      } else {
        const double alone = number(at(c, "grad_input_range_custom_only"));
        EXPECT_NEAR(gradient, alone, 2e-4 * std::max(1.0, std::fabs(alone))) << id;
      }
    }
    ++cases;
  }
  EXPECT_GE(cases, 36);
}

// The peer divides the clipped outputs by the size of the input (reference S33); the documented fraction is that of the
// outputs. What its formula would have given follows from the stored outputs.
struct OutputTerm {
  double documented = 0.0;
  double peer = 0.0;
};
OutputTerm output_term(const tile::RpuParameters& p, const Matrix& y, const std::vector<float>& bias, double r,
                       std::int64_t inputs) {
  const auto& range = p.pre_post.input_range;
  if (!range.manage_output_clipping) return {};
  double clipped = 0.0;
  for (std::int64_t v = 0; v < y.rows(); ++v)
    for (std::int64_t i = 0; i < y.cols(); ++i) {
      const double o = (static_cast<double>(y(v, i)) - static_cast<double>(bias[static_cast<std::size_t>(i)])) / r;
      if (std::fabs(o) >= 0.999 * p.forward.out_bound - 1e-4) clipped += 1.0;
    }
  const auto term = [&](std::int64_t numbers) {
    const double unclipped = 1.0 - clipped / static_cast<double>(y.rows() * numbers);
    return unclipped < range.output_min_percentage ? -(1.0 - unclipped) * r : 0.0;
  };
  return {term(y.cols()), term(inputs)};
}

TEST(LearningGolden, InputRangesAreLearnedStepByStep) {
  int cases = 0;
  int managed = 0;
  for (const TileCase& c : tile_cases({"input_range_sgd"})) {
    LearningLayer layer(
        c.parameters, c.weight.view(), c.bias, {.seed = 1},
        {.backward = c.torch_engine() ? BackwardRule::straight_through : BackwardRule::perfect_product});
    const Tensor x = c.group.dataset("x").read_tensor();
    const Tensor dy = c.group.dataset("grad_y").read_tensor();
    const Tensor y = c.group.dataset("y").read_tensor();
    const auto gradients = c.group.dataset("range_grad").read<float>();
    const auto ranges = c.group.dataset("input_range").read<float>();
    const auto rate = c.group.attribute<double>("learning_rate");
    for (std::int64_t step = 0; step < x.dim(0); ++step) {
      const Matrix input = step_of(x, step);
      const Matrix expected = step_of(y, step);
      Matrix ours(expected.rows(), expected.cols());
      Matrix dx(input.rows(), input.cols());
      layer.zero_gradients();
      layer.forward(input.view(), ours.view(), {});
      // An output may lie one step of the ADC beside the peer's (another order of summation), hardly ever.
      const double r = static_cast<double>(layer.state().tiles[0].input_range);
      const double adc = 2.0 * c.parameters.forward.out_bound * c.parameters.forward.out_res * r;
      int beside = 0;
      for (std::size_t i = 0; i < ours.values().size(); ++i) {
        const double difference = std::fabs(static_cast<double>(ours.values()[i] - expected.values()[i]));
        EXPECT_LT(difference, 1.01 * adc) << c.path << " step " << step << " output " << i;
        if (difference > 1e-4) ++beside;
      }
      EXPECT_LE(beside, 2) << c.path << " step " << step;
      layer.backward(input.view(), step_of(dy, step).view(), dx.view(), {});
      const tile::LearnedValue range = find(layer, "tile0.input_range");
      const OutputTerm term = output_term(c.parameters, expected, c.bias, r, input.cols());
      managed += term.peer != 0.0 ? 1 : 0;
      const double theirs =
          static_cast<double>(gradients[static_cast<std::size_t>(step)]) - term.peer + term.documented;
      EXPECT_NEAR(range.gradient[0], theirs, 2e-4 * std::max(1.0, std::fabs(theirs))) << c.path << " step " << step;
      range.value[0] -= static_cast<float>(rate) * range.gradient[0];
      const auto next = static_cast<double>(ranges[static_cast<std::size_t>(step)]);
      EXPECT_NEAR(range.value[0], next - rate * (term.documented - term.peer), 2e-5 * next)
          << c.path << " step " << step;
      range.value[0] = ranges[static_cast<std::size_t>(step)];
      layer.updated();
    }
    ++cases;
  }
  EXPECT_GE(cases, 13);
  EXPECT_GE(managed, 1);  // some step of the managed case did clip
}

TEST(LearningGolden, QuantizerRangesAreLearnedAfterTheEstimatedBatches) {
  const Node root = read_json("aihwkit_periphery.json");
  const Node& group = at(root, "quantized_tile_learned");
  const Matrix weight = matrix(at(group, "weight"));
  int cases = 0;
  for (const Node& c : at(group, "cases").items) {
    const std::string id = at(c, "id").scalar;
    tile::RpuParameters p;
    p.forward.is_perfect = true;
    p.mapping.weight_scaling_omega = 1.0;
    p.mapping.weight_scaling_columnwise = true;
    p.pre_post.periph_quant.n_bits = static_cast<int>(number(at(group, "n_bits")));
    p.pre_post.periph_quant.symmetric = at(group, "symmetric").scalar == "true";
    p.pre_post.periph_quant.learn_quant_params = true;
    p.pre_post.periph_quant.init_learning_after = static_cast<int>(number(at(c, "init_learning_after")));
    LearningLayer layer(p, weight.view(), values(at(group, "bias")), {});
    const Matrix x(2, weight.cols());
    Matrix y(2, weight.rows());
    for (const Node& step : at(c, "steps").items) {
      if (at(step, "op").scalar == "eval_forward") {
        layer.analog_layer().forward(x.view(), y.view(), {});
      } else {
        const std::vector<float> bias = values(at(step, "bias"));
        const tile::LearnedValue learned = find(layer, "bias");
        std::copy(bias.begin(), bias.end(), learned.value.begin());
        layer.updated();
        layer.forward(x.view(), y.view(), {});
        EXPECT_EQ(find(layer, "tile0.scale_range.delta").value[0], array(at(step, "scale_delta")).values()[0]) << id;
        EXPECT_EQ(find(layer, "bias_range.delta").value[0], array(at(step, "bias_delta")).values()[0]) << id;
        EXPECT_EQ(layer.state().tiles[0].scale_quantizer.delta.at(0), array(at(step, "scale_delta")).values()[0]) << id;
        EXPECT_EQ(layer.state().bias_quantizer.delta.at(0), array(at(step, "bias_delta")).values()[0]) << id;
        EXPECT_EQ(layer.is_learning_ranges(), at(step, "delta_requires_grad").scalar == "true") << id;
      }
      EXPECT_EQ(layer.is_learning_ranges(), at(step, "state").scalar == "learn_ranges") << id;
      EXPECT_EQ(static_cast<double>(layer.state().periphery_updates), number(at(step, "update_idx"))) << id;
    }
    ++cases;
  }
  EXPECT_GE(cases, 3);
}

}  // namespace
}  // namespace tessera::golden
