#include <gtest/gtest.h>

#include "golden.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

// Do the gradients of the uniform quantizers agree with aihwkit_quantizers.json (quantization reference A.5)? With
// respect to the input bit for bit, to the range 1e-4 of the sum of absolute terms (float32 sums on the other side).
namespace tessera::quant {
namespace {

using testing::floats;
using testing::tensor;

TEST(GradientGolden, EveryCaseAgrees) {
  const YAML::Node cases = testing::load_golden("aihwkit_quantizers.json")["gradient_cases"];
  ASSERT_GE(cases.size(), 50u);
  for (const YAML::Node& c : cases) {
    SCOPED_TRACE(c["id"].as<std::string>());
    const bool log_domain = c["scale_domain"].as<std::string>() == "log";
    UniformQuantizerParameters p;
    p.n_bits = c["n_bits"].as<int>();
    p.method = c["class"].as<std::string>() == "SymmetricUniformQuantizer" ? QMethod::symmetric_uniform
                                                                           : QMethod::asymmetric_uniform;
    p.scale_domain = log_domain ? ScaleDomain::log : ScaleDomain::linear;
    p.per_channel = c["per_channel"].as<bool>();
    UniformQuantizer q(p);
    q.set_quant_range(floats(c["range_min"]), floats(c["range_max"]));
    UniformQuantizerState stored = q.state();
    stored.delta = floats(c["state"]["delta"]);
    q.set_state(stored);

    const Tensor x = tensor(c["x"]), grad_y = tensor(c["grad_out"]);
    const std::vector<float> expected = floats(c["grad_x"]);
    const Tensor grad_x = q.backward(x, grad_y);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (log_domain) {  // the scale, an exponential, may differ in the last place
        EXPECT_NEAR(grad_x.values()[i], expected[i], 4e-7 * std::abs(expected[i]));
      } else {
        EXPECT_TRUE(testing::ulp_distance(grad_x.values()[i], expected[i]) == 0) << i;
      }
    }

    const RangeGradient range = q.range_gradient(x, grad_y);
    const ChannelLayout layout = q.layout(x.shape());
    const std::vector<float> scale = q.scale(), zero = q.zero_point();
    const std::vector<float> delta = floats(c["grad_delta"]);
    ASSERT_EQ(range.delta.size(), delta.size());
    std::vector<double> terms(delta.size(), 0.0), zero_terms(delta.size(), 0.0);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const auto channel =
          delta.size() == 1 ? std::size_t{0} : static_cast<std::size_t>(i / layout.inner % layout.channels);
      const double s = scale[channel];
      const double reach = static_cast<double>(1 << p.n_bits) + std::abs(static_cast<double>(x.data()[i])) / s;
      terms[channel] += std::abs(static_cast<double>(grad_y.data()[i])) * reach * (log_domain ? s : 1.0);
      zero_terms[channel] += std::abs(static_cast<double>(grad_y.data()[i])) * s;
    }
    for (std::size_t i = 0; i < delta.size(); ++i) {
      EXPECT_NEAR(range.delta[i], delta[i], 1e-4 * terms[i] / (1 << p.n_bits)) << i;
      if (q.symmetric()) {
        EXPECT_TRUE(range.zero_float.empty());
      } else {
        EXPECT_NEAR(range.zero_float[i], floats(c["grad_zero_float"])[i], 1e-4 * zero_terms[i]) << i;
      }
    }
  }
}

}  // namespace
}  // namespace tessera::quant
