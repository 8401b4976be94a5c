#include "tessera/quant/quantization_manager.hpp"

#include <gtest/gtest.h>

#include "golden.hpp"

// Does the manager follow the state flows of aihwkit_quantizers.json (quantization reference C.1), and the documented
// intent where the peer fails (section 8)? Do the documented error cases raise their errors?
namespace tessera::quant {
namespace {

using testing::bit_mismatches;
using testing::floats;
using testing::tensor;

QuantizationManagerParameters parameters(QMethod method, RangeEstimators init, int bits) {
  QuantizationManagerParameters p;
  p.quantizer.n_bits = bits;
  p.quantizer.method = method;
  p.init = init;
  return p;
}

RangeEstimators estimator_of(const std::string& name) {
  for (std::size_t i = 0; i < range_estimator_names.size(); ++i) {
    if (name == range_estimator_names[i]) return static_cast<RangeEstimators>(i);
  }
  throw InputError("unknown estimator " + name);
}

TEST(ManagerGolden, EveryStepOfEveryCaseAgrees) {
  const YAML::Node cases = testing::load_golden("aihwkit_quantizers.json")["manager_cases"];
  ASSERT_GE(cases.size(), 8u);
  int forwards = 0, repaired = 0, refused = 0;
  for (const YAML::Node& c : cases) {
    SCOPED_TRACE(c["id"].as<std::string>());
    const QMethod method =
        c["qmethod"].as<std::string>() == qmethod_names[0] ? QMethod::symmetric_uniform : QMethod::asymmetric_uniform;
    QuantizationManager manager(parameters(method, estimator_of(c["init"].as<std::string>()), c["n_bits"].as<int>()));
    bool training = true;
    for (std::size_t s = 0; s < c["steps"].size(); ++s) {
      const YAML::Node step = c["steps"][s];
      const std::string op = step["op"].as<std::string>();
      const std::string error = step["error"] ? step["error"].as<std::string>() : "";
      SCOPED_TRACE(std::to_string(s) + " " + op);
      bool diverged = false;
      if (op == "train" || op == "eval") {
        training = op == "train";
      } else if (op == "estimate_ranges") {
        manager.estimate_ranges();
      } else if (op == "estimate_ranges_train") {
        manager.estimate_ranges_train();
      } else if (op == "fix_ranges" && !error.empty()) {
        EXPECT_EQ(error, "QuantizerNotInitializedError");
        EXPECT_THROW(manager.fix_ranges(), QuantizerNotInitializedError);
        ++refused;
      } else if (op == "fix_ranges") {
        manager.fix_ranges();
      } else if (op == "learn_ranges") {
        manager.learn_ranges();
        EXPECT_TRUE(manager.is_learning());
      } else if (op == "reset_ranges") {
        manager.reset_ranges();
      } else {
        ASSERT_EQ(op, "forward");
        ASSERT_EQ(training, step["training"].as<bool>());
        EXPECT_STREQ(to_string(manager.state()), step["state_before"].as<std::string>().c_str());
        const Tensor x = tensor(step["x"]);
        if (error == "RuntimeError") {  // estimating after learning: works here
          EXPECT_NO_THROW(manager.quantize(x, training));
          EXPECT_FALSE(manager.quantizer().range_trainable());
          diverged = true;
          ++repaired;
        } else if (!error.empty()) {  // no range yet: one error for both methods
          EXPECT_THROW(manager.quantize(x, training), QuantizerNotInitializedError);
          ++refused;
        } else {
          EXPECT_EQ(bit_mismatches(manager.quantize(x, training).values(), floats(step["y"])), 0u);
          ++forwards;
        }
      }
      EXPECT_STREQ(to_string(manager.state()), step["state_after"].as<std::string>().c_str());
      const std::vector<float> delta = floats(step["delta"]);
      if (diverged) continue;
      EXPECT_EQ(manager.quantizer().is_initialized(), !std::isnan(delta[0]));
      if (!manager.quantizer().is_initialized()) continue;
      EXPECT_EQ(bit_mismatches(manager.quantizer().delta(), delta), 0u);
      if (method == QMethod::asymmetric_uniform) {
        EXPECT_EQ(bit_mismatches(manager.quantizer().zero_float(), floats(step["zero_float"])), 0u);
      }
    }
  }
  EXPECT_GE(forwards, 30);
  EXPECT_GT(repaired, 0);
  EXPECT_GT(refused, 0);
}

TEST(ManagerGolden, DocumentedErrorCases) {
  // One assertion per entry of error_cases, by its text; an unknown text fails.
  const YAML::Node cases = testing::load_golden("aihwkit_quantizers.json")["error_cases"];
  std::vector<float> x{1.0f}, y(1);
  for (const YAML::Node& c : cases) {
    const std::string action = c["action"].as<std::string>();
    SCOPED_TRACE(action);
    const auto has = [&](const char* text) { return action.find(text) != std::string::npos; };
    if (has("asymmetric forward / delta")) {
      UniformQuantizer q({.method = QMethod::asymmetric_uniform});
      EXPECT_THROW(q.forward(x, y), QuantizerNotInitializedError);
      EXPECT_THROW(q.delta(), QuantizerNotInitializedError);
      EXPECT_THROW(q.zero_float(), QuantizerNotInitializedError);
    } else if (has("symmetric forward before set_quant_range, per-tensor")) {  // an assertion there: one error here
      EXPECT_THROW(UniformQuantizer({.n_bits = 8}).forward(x, y), QuantizerNotInitializedError);
    } else if (has("symmetric to_integer_forward / delta / scale / signed")) {
      UniformQuantizer q({.n_bits = 8});
      EXPECT_THROW(q.to_integer_forward(x, y), QuantizerNotInitializedError);
      EXPECT_THROW(q.delta(), QuantizerNotInitializedError);
      EXPECT_THROW(q.scale(), QuantizerNotInitializedError);
      EXPECT_THROW(q.is_signed(), QuantizerNotInitializedError);
      EXPECT_THROW(q.int_min(), QuantizerNotInitializedError);
      EXPECT_THROW(q.int_max(), QuantizerNotInitializedError);
    } else if (has("symmetric forward before set_quant_range, per_channel")) {
      EXPECT_THROW(UniformQuantizer({.per_channel = true}).forward(x, y), QuantizerNotInitializedError);
    } else if (has("per_channel=True together with axis")) {
      EXPECT_THROW(UniformQuantizer({.per_channel = true, .axis = 0}), ConfigError);
    } else if (has("scale_domain other than")) {
      EXPECT_THROW(UniformQuantizer({.scale_domain = static_cast<ScaleDomain>(2)}), ConfigError);
    } else if (has("per-tensor quantizer given x_min with more than one element")) {
      UniformQuantizer q({.n_bits = 8});
      EXPECT_THROW(q.set_quant_range(std::vector<float>{-1, -1}, std::vector<float>{1, 1}), InputError);
    } else if (has("fix_ranges on uninitialised manager")) {
      QuantizationManager m(parameters(QMethod::symmetric_uniform, RangeEstimators::current_minmax, 8));
      EXPECT_THROW(m.fix_ranges(), QuantizerNotInitializedError);
    } else if (has("set_quant_range with autograd on, after make_range_trainable")) {
      UniformQuantizer q({.n_bits = 8});
      q.set_quant_range(-1.0f, 1.0f);
      q.make_range_trainable();
      EXPECT_THROW(q.set_quant_range(-2.0f, 2.0f), InputError);
      EXPECT_EQ(q.delta()[0], 1.0f / 127.0f);
      q.make_range_trainable(false);
      EXPECT_NO_THROW(q.set_quant_range(-2.0f, 2.0f));
    } else {
      ADD_FAILURE() << "no test for this case";
    }
  }
}

TEST(QuantizationManager, ExplicitRangeIsFixedAndWorks) {
  QuantizationManagerParameters p = parameters(QMethod::symmetric_uniform, RangeEstimators::current_minmax, 8);
  p.x_min = -127.0f;
  EXPECT_THROW(QuantizationManager{p}, ConfigError);
  p.x_max = 127.0f;
  QuantizationManager manager(p);
  EXPECT_EQ(manager.state(), Qstates::fix_ranges);
  EXPECT_EQ(manager.quantize(Tensor({1}, std::vector<float>{2.4f}), true).values()[0], 2.0f);
}

TEST(QuantizationManager, LearningNeedsARange) {
  QuantizationManager manager(parameters(QMethod::asymmetric_uniform, RangeEstimators::current_minmax, 8));
  EXPECT_THROW(manager.learn_ranges(), QuantizerNotInitializedError);
  EXPECT_EQ(manager.state(), Qstates::estimate_ranges_train);
}

TEST(QuantizationManager, PerChannelAndSearchEstimators) {
  for (const RangeEstimators init :
       {RangeEstimators::current_minmax, RangeEstimators::allminmax, RangeEstimators::running_minmax,
        RangeEstimators::MSE, RangeEstimators::cross_entropy}) {
    SCOPED_TRACE(to_string(init));
    QuantizationManagerParameters p = parameters(QMethod::symmetric_uniform, init, 6);
    p.quantizer.per_channel = true;
    QuantizationManager manager(p);
    const Tensor x({2, 4}, std::vector<float>{-1, 0.5f, 0.25f, 1, -8, 4, 2, 8});
    const Tensor y = manager.quantize(x, true);
    EXPECT_EQ(manager.quantizer().channels(), 2);
    for (std::int64_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y.data()[i], x.data()[i], 0.06f * (i < 4 ? 1.2f : 9.0f));
    EXPECT_EQ(bit_mismatches(manager.quantize(x, false).values(), y.values()), 0u) << "evaluation changes nothing";
    EXPECT_THROW(manager.quantize(Tensor({3, 4}), true), InputError) << "another channel count";
    manager.reset_ranges();
    EXPECT_NO_THROW(manager.quantize(Tensor({3, 4}), true));
  }
}

}  // namespace
}  // namespace tessera::quant
