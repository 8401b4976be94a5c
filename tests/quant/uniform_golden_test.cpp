#include <gtest/gtest.h>

#include "golden.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

// Do the uniform quantizers agree with aihwkit_quantizers.json, every case, bit for bit (log domain: 2 ulp in the
// stored step and scale, then bit for bit with the stored step)? Quantization reference A and section 8.
namespace tessera::quant {
namespace {

using testing::bit_mismatches;
using testing::floats;
using testing::tensor;
using testing::ulp_distance;

UniformQuantizerParameters parameters_of(const YAML::Node& c) {
  UniformQuantizerParameters p;
  p.n_bits = c["n_bits"].as<int>();
  p.method = c["class"].as<std::string>() == "SymmetricUniformQuantizer" ? QMethod::symmetric_uniform
                                                                         : QMethod::asymmetric_uniform;
  p.scale_domain = c["scale_domain"].as<std::string>() == "log" ? ScaleDomain::log : ScaleDomain::linear;
  p.per_channel = c["per_channel"].as<bool>();
  if (c["axis"] && !c["axis"].IsNull()) p.axis = c["axis"].as<int>();
  if (c["eps"]) p.eps = c["eps"].as<double>();
  return p;
}

void expect_ulps(const std::vector<float>& actual, const std::vector<float>& expected, std::int64_t ulps,
                 const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_LE(ulp_distance(actual[i], expected[i]), ulps)
        << what << "[" << i << "] " << actual[i] << " " << expected[i];
  }
}

TEST(UniformGolden, EveryCaseAgrees) {
  const YAML::Node cases = testing::load_golden("aihwkit_quantizers.json")["quantizer_cases"];
  ASSERT_GE(cases.size(), 226u);
  int bitwise = 0, rejected = 0;
  for (const YAML::Node& c : cases) {
    SCOPED_TRACE(c["id"].as<std::string>());
    const UniformQuantizerParameters p = parameters_of(c);
    const YAML::Node state = c["state"];
    UniformQuantizer quantizer(p);
    const std::vector<float> low = floats(c["range_min"]), high = floats(c["range_max"]);

    const bool is_signed = state["signed"] && state["signed"].as<bool>();
    if (p.n_bits == 1 && is_signed) {  // the peer's step is infinite and every output NaN; here it is refused
      EXPECT_TRUE(std::isinf(floats(state["delta"])[0]));
      EXPECT_THROW(quantizer.set_quant_range(low, high), InputError);
      EXPECT_FALSE(quantizer.is_initialized());
      ++rejected;
      continue;
    }
    quantizer.set_quant_range(low, high);
    const bool log_domain = p.scale_domain == ScaleDomain::log;
    expect_ulps(quantizer.delta(), floats(state["delta"]), log_domain ? 2 : 0, "delta");
    expect_ulps(quantizer.scale(), floats(state["scale"]), log_domain ? 2 : 0, "scale");
    EXPECT_EQ(quantizer.int_min(), static_cast<int>(state["int_min"].as<double>()));
    EXPECT_EQ(quantizer.int_max(), static_cast<int>(state["int_max"].as<double>()));
    if (quantizer.symmetric()) {
      EXPECT_EQ(quantizer.is_signed(), is_signed);
    } else {
      expect_ulps(quantizer.zero_float(), floats(state["zero_float"]), 0, "zero_float");
      expect_ulps(quantizer.zero_point(), floats(state["zero_point"]), 0, "zero_point");
    }
    if (log_domain) {  // continue with the stored scale: its logarithm may differ in the last place
      UniformGrid grid = quantizer.grid();
      grid.scale = floats(state["scale"])[0];
      const std::vector<float> x = floats(c["x"]);
      std::vector<float> codes(x.size()), y(x.size());
      quantize_to_integer(grid, x, codes);
      quantize_dequantize(grid, x, y);
      EXPECT_EQ(bit_mismatches(codes, floats(c["x_int"])), 0u);
      EXPECT_EQ(bit_mismatches(y, floats(c["x_quant"])), 0u);
      expect_ulps(quantizer.x_max(), floats(state["x_max"]), 3, "x_max");
      expect_ulps(quantizer.x_min(), floats(state["x_min"]), 3, "x_min");
    } else {
      const Tensor x = tensor(c["x"]);
      EXPECT_EQ(bit_mismatches(quantizer.to_integer_forward(x).values(), floats(c["x_int"])), 0u);
      EXPECT_EQ(bit_mismatches(quantizer.forward(x).values(), floats(c["x_quant"])), 0u);
      expect_ulps(quantizer.x_max(), floats(state["x_max"]), 0, "x_max");
      expect_ulps(quantizer.x_min(), floats(state["x_min"]), 0, "x_min");
    }
    ++bitwise;
  }
  EXPECT_GE(bitwise, 218);
  EXPECT_LE(rejected, 8);
  EXPECT_GT(rejected, 0);
}

}  // namespace
}  // namespace tessera::quant
