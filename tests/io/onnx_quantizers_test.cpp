#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "onnx_model.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/nn/linear.hpp"

// Question: are quantizers, of ONNX and of QONNX, and products of integer codes computed as they are defined, and can
// the weight of such a product be a layer?
namespace tessera::io {
namespace {

using test::OnnxModel;
using testing::HasSubstr;
using Proto = onnx::TensorProto;

void expect_values(const Tensor& got, const std::vector<float>& values) {
  ASSERT_EQ(static_cast<std::size_t>(got.size()), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_FLOAT_EQ(got.data()[i], values[i]) << i;
}

OnnxModel qonnx(const std::string& op, const std::vector<std::string>& inputs) {
  OnnxModel m(13);
  m.opset_import("qonnx.custom_op.general", 1);
  m.input("x", {0, 3}).output("y");
  m.floats("half", {}, {0.5F}).floats("zero", {}, {0}).floats("four", {}, {4}).floats("six", {}, {6});
  m.floats("two", {}, {2});
  m.node(op, inputs, {"y"}, "quant").set_domain("qonnx.custom_op.general");
  return m;
}

const Tensor three = Tensor({1, 3}, std::vector<float>{-1.4F, 0.25F, 2.2F});

TEST(OnnxQuantizers, BipolarQuantGivesTheSignTimesTheScale) {
  const OnnxModel m = qonnx("BipolarQuant", {"x", "half"});
  expect_values(nn::Executor(m.import()).run(three), {-0.5F, 0.5F, 0.5F});
  expect_values(nn::Executor(m.import()).run(Tensor({1, 3}, std::vector<float>{0.0F, -0.0F, -1e-9F})),
                {0.5F, 0.5F, -0.5F});
}

// round(-2.8) = -3, round(0.5) = 0 (ties to even), round(4.4) = 4, times 0.5
TEST(OnnxQuantizers, IntQuantIsQuant) {
  const OnnxModel m = qonnx("IntQuant", {"x", "half", "zero", "four"});
  expect_values(nn::Executor(m.import()).run(three), {-1.5F, 0.0F, 2.0F});
}

// Codes of 6 bits lose two bits: -2.8 -> -3 -> floor(-0.75) = -1; 0.5 -> 0 -> 0; 4.4 -> 4 -> 1; times 0.5.
TEST(OnnxQuantizers, TruncDropsTheLowestBits) {
  const OnnxModel m = qonnx("Trunc", {"x", "half", "zero", "six", "four"});
  expect_values(nn::Executor(m.import()).run(three), {-0.5F, 0.0F, 0.5F});
}

// The form with a scale of its own keeps the magnitude: codes -1, 0, 1 times 2.
TEST(OnnxQuantizers, TruncWithAScaleOfItsOwn) {
  const OnnxModel m = qonnx("Trunc", {"x", "half", "zero", "six", "two", "zero", "four"});
  expect_values(nn::Executor(m.import()).run(three), {-2.0F, 0.0F, 2.0F});
}

TEST(OnnxQuantizers, UnknownRoundingIsRefused) {
  OnnxModel m = qonnx("Quant", {"x", "half", "zero", "four"});
  auto* attribute = m.model.mutable_graph()->mutable_node(0)->add_attribute();
  attribute->set_name("rounding_mode");
  attribute->set_type(onnx::AttributeProto::STRING);
  attribute->set_s("SIDEWAYS");
  EXPECT_THAT(m.error(), HasSubstr("rounding_mode 'SIDEWAYS' is not known"));
}

/// y = dequantized integer product of x (uint8 codes of 0.1) and a weight of `inputs` rows of int8 codes.
OnnxModel integer_product(std::int64_t inputs) {
  OnnxModel m(13);
  m.input("x", {0, inputs}).output("y");
  m.floats("step", {}, {0.1F}).floats("unit", {}, {1.0F});
  m.initializer("zero", {}, Proto::UINT8).add_int32_data(3);
  auto& weight = m.initializer("w", {inputs, 2}, Proto::INT8);
  for (std::int64_t i = 0; i < 2 * inputs; ++i) weight.add_int32_data(static_cast<int>(i * 37 % 256) - 128);
  m.node("QuantizeLinear", {"x", "step", "zero"}, {"codes"});
  m.node("MatMulInteger", {"codes", "w", "zero"}, {"sum"}, "product");
  OnnxModel::set_int(m.node("Cast", {"sum"}, {"y"}), "to", Proto::FLOAT);
  return m;
}

// Sums beyond 2^24 cannot be made in float32: every partial sum must be exact.
TEST(OnnxQuantizers, IntegerProductsAreExactWhereFloat32IsNot) {
  const std::int64_t inputs = 4001;
  Tensor x({1, inputs});
  for (std::int64_t i = 0; i < inputs; ++i) x.data()[i] = 0.1F * static_cast<float>(i * 91 % 256);
  std::vector<std::int64_t> wanted(2, 0);
  for (std::int64_t i = 0; i < inputs; ++i) {
    const auto code = static_cast<std::int64_t>(std::nearbyint(x.data()[i] / 0.1F)) + 3;
    for (std::int64_t o = 0; o < 2; ++o)
      wanted[static_cast<std::size_t>(o)] += (std::min<std::int64_t>(code, 255) - 3) * ((2 * i + o) * 37 % 256 - 128);
  }
  const nn::Graph graph = integer_product(inputs).import();
  EXPECT_TRUE(nn::linear_layers(graph).empty());
  const Tensor y = nn::Executor(graph).run(x);
  for (std::size_t o = 0; o < 2; ++o) EXPECT_EQ(y.data()[o], static_cast<float>(wanted[o]));
}

TEST(OnnxQuantizers, DequantizedProductsAreLayersOfTheSameValue) {
  const std::int64_t inputs = 40;
  Tensor x({3, inputs});
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = 0.07F * static_cast<float>(i % 29);
  const OnnxModel m = integer_product(inputs);
  OnnxImportOptions options;
  options.dequantize = true;
  const nn::Graph graph = m.import({}, options);
  ASSERT_EQ(nn::linear_layers(graph).size(), 1U);
  EXPECT_EQ(nn::linear_layers(graph)[0].name, "product");
  const Tensor exact = nn::Executor(m.import()).run(x), layered = nn::Executor(graph).run(x);
  expect_values(layered, {exact.values().begin(), exact.values().end()});
}

TEST(OnnxQuantizers, QLinearConvInBothForms) {
  OnnxModel m(13);
  m.input("x", {0, 2, 5, 5}).output("y");
  m.floats("step", {}, {0.1F}).floats("w_step", {3}, {0.02F, 0.03F, 0.05F}).floats("y_step", {}, {0.4F});
  m.initializer("zero", {}, Proto::UINT8).add_int32_data(7);
  auto& w_zero = m.initializer("w_zero", {3}, Proto::INT8);
  for (int i = 0; i < 3; ++i) w_zero.add_int32_data(0);
  auto& weight = m.initializer("w", {3, 2, 3, 3}, Proto::INT8);
  for (int i = 0; i < 54; ++i) weight.add_int32_data(i * 29 % 255 - 127);
  auto& bias = m.initializer("bias", {3}, Proto::INT32);
  for (int i = 0; i < 3; ++i) bias.add_int32_data(100 * i - 50);
  m.node("QuantizeLinear", {"x", "step", "zero"}, {"codes"});
  OnnxModel::set_ints(
      m.node("QLinearConv", {"codes", "step", "zero", "w", "w_step", "w_zero", "y_step", "zero", "bias"}, {"q"},
             "conv"),
      "pads", {1, 1, 1, 1});
  m.node("DequantizeLinear", {"q", "y_step", "zero"}, {"y"});
  Tensor x({2, 2, 5, 5});
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = 0.31F * static_cast<float>(i * 7 % 23) - 1.0F;
  OnnxImportOptions options;
  options.dequantize = true;
  const nn::Graph layered = m.import({}, options);
  ASSERT_EQ(nn::linear_layers(layered).size(), 1U);
  const Tensor a = nn::Executor(m.import()).run(x), b = nn::Executor(layered).run(x);
  std::int64_t different = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    different += a.data()[i] != b.data()[i] ? 1 : 0;
    EXPECT_NEAR(a.data()[i], b.data()[i], 0.41F);  // one code, where a sum lies on a tie
  }
  EXPECT_LE(different, 1);
}

}  // namespace
}  // namespace tessera::io
