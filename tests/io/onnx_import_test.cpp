#include "tessera/io/onnx_import.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "h5/temporary_directory.hpp"
#include "onnx_model.hpp"
#include "tessera/nn/executor.hpp"

// Question: are ONNX files read as the definition says in every opset's form?
namespace tessera::io {
namespace {

using test::OnnxModel;
using ::testing::HasSubstr;
using ::testing::Not;
using Proto = onnx::TensorProto;

Tensor run(const OnnxModel& model, const Tensor& x) {
  return nn::Executor(model.import()).run(x);
}

void expect_values(const Tensor& got, const Shape& shape, const std::vector<float>& values) {
  EXPECT_EQ(got.shape(), shape);
  ASSERT_EQ(static_cast<std::size_t>(got.size()), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_FLOAT_EQ(got.data()[i], values[i]) << i;
}

const Tensor row = Tensor({1, 4}, std::vector<float>{-2, -1, 1, 2});

// --- what is read ----------------------------------------------------------------------------------------------------

TEST(OnnxImport, FormsOfOlderOpsetsMeanTheSame) {
  for (const int opset : {6, 7, 9, 10, 11, 12, 13, 17, 18, 21, 25}) {
    SCOPED_TRACE(opset);
    OnnxModel m(opset);
    m.input("x", {1, 4});
    if (opset < 11) {
      auto& clip = m.node("Clip", {"x"}, {"a"});
      OnnxModel::set_float(clip, "min", -1.5F);
      OnnxModel::set_float(clip, "max", 1.5F);
      auto& pad = m.node("Pad", {"a"}, {"b"});
      OnnxModel::set_ints(pad, "pads", {0, 1, 0, 0});
      OnnxModel::set_float(pad, "value", 5.0F);
    } else {
      m.floats("min", {}, {-1.5F}).floats("max", {}, {1.5F}).ints("pads", {0, 1, 0, 0}).floats("value", {}, {5});
      m.node("Clip", {"x", "min", "max"}, {"a"});
      m.node("Pad", {"a", "pads", "value"}, {"b"});
    }
    if (opset < 13) {
      OnnxModel::set_ints(m.node("Unsqueeze", {"b"}, {"c"}), "axes", {1});
      OnnxModel::set_ints(m.node("ReduceSum", {"c"}, {"d"}), "axes", {1});
    } else {
      m.ints("one", {1});
      m.node("Unsqueeze", {"b", "one"}, {"c"});
      m.node("ReduceSum", {"c", "one"}, {"d"});
    }
    if (opset < 10) {
      auto& slice = m.node("Slice", {"d"}, {"y"});
      OnnxModel::set_ints(slice, "starts", {0});
      OnnxModel::set_ints(slice, "ends", {3});
      OnnxModel::set_ints(slice, "axes", {2});
    } else {
      m.ints("starts", {0}).ints("ends", {3}).ints("axes", {2});
      m.node("Slice", {"d", "starts", "ends", "axes"}, {"y"});
    }
    m.output("y");
    expect_values(run(m, row), {1, 1, 3}, {5, -1.5F, -1});
  }
}

TEST(OnnxImport, SoftmaxChangedItsMeaningInOpset13) {
  for (const int opset : {12, 13}) {
    OnnxModel m(opset);
    m.input("x", {0, 2, 2}).output("y");
    m.node("Softmax", {"x"}, {"y"});
    const float each = opset == 12 ? 0.25F : 0.5F;
    expect_values(run(m, Tensor({1, 2, 2})), {1, 2, 2}, {each, each, each, each});
  }
}

TEST(OnnxImport, EveryElementTypeOfInitialisers) {
  struct Case {
    int type;
    std::string raw;
    bool floating;
  };
  const auto bytes = [](auto... values) {
    std::string text;
    (text.append(reinterpret_cast<const char*>(&values), sizeof values), ...);
    return text;
  };
  const std::vector<Case> cases = {
      {Proto::FLOAT, bytes(1.5F, -2.0F), true},
      {Proto::DOUBLE, bytes(1.5, -2.0), true},
      {Proto::FLOAT16, bytes(std::uint16_t{0x3E00}, std::uint16_t{0xC000}), true},
      {Proto::BFLOAT16, bytes(std::uint16_t{0x3FC0}, std::uint16_t{0xC000}), true},
      {Proto::INT64, bytes(std::int64_t{3}, std::int64_t{-2}), false},
      {Proto::INT32, bytes(std::int32_t{3}, std::int32_t{-2}), false},
      {Proto::INT16, bytes(std::int16_t{3}, std::int16_t{-2}), false},
      {Proto::INT8, bytes(std::int8_t{3}, std::int8_t{-2}), false},
      {Proto::UINT8, bytes(std::uint8_t{3}, std::uint8_t{254}), false},
      {Proto::UINT16, bytes(std::uint16_t{3}, std::uint16_t{254}), false},
      {Proto::BOOL, bytes(true, false), false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.type);
    OnnxModel m;
    m.input("x", {0, 2}).output("y");
    m.initializer("w", {2}, c.type).set_raw_data(c.raw);
    if (c.floating) {
      m.node("Add", {"x", "w"}, {"y"});
    } else {
      OnnxModel::set_int(m.node("Cast", {"w"}, {"f"}), "to", Proto::FLOAT);
      m.node("Add", {"x", "f"}, {"y"});
    }
    std::vector<std::string> notes;
    const Environment environment{.message = [&](Severity, const std::string& text) { notes.push_back(text); },
                                  .progress = {},
                                  .cancel = nullptr};
    const nn::Graph graph = m.import(environment);
    const bool narrowed = c.floating && c.type != Proto::FLOAT;
    EXPECT_EQ(notes.size(), narrowed ? 1U : 0U);
    const float second = c.type == Proto::UINT8 || c.type == Proto::UINT16 ? 254.0F
                         : c.type == Proto::BOOL                           ? 0.0F
                                                                           : -2.0F;
    const float first = c.floating ? 1.5F : c.type == Proto::BOOL ? 1.0F : 3.0F;
    expect_values(nn::Executor(graph).run(Tensor({1, 2})), {1, 2}, {first, second});
  }
}

TEST(OnnxImport, HalfPrecisionCornerCases) {
  OnnxModel m;
  m.input("x", {0, 4}).output("y");
  auto& w = m.initializer("w", {4}, Proto::FLOAT16);
  for (const int bits : {0x0001, 0x8001, 0x7BFF, 0x0400}) w.add_int32_data(bits);
  m.node("Add", {"x", "w"}, {"y"});
  expect_values(run(m, Tensor({1, 4})), {1, 4},
                {std::ldexp(1.0F, -24), -std::ldexp(1.0F, -24), 65504.0F, std::ldexp(1.0F, -14)});
}

OnnxModel external_model(const std::string& location, std::int64_t offset, std::int64_t length) {
  OnnxModel m;
  m.input("x", {0, 2}).output("y");
  auto& w = m.initializer("w", {2});
  w.set_data_location(Proto::EXTERNAL);
  const auto add = [&](const char* key, const std::string& value) {
    auto* entry = w.add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  };
  add("location", location);
  add("offset", std::to_string(offset));
  if (length >= 0) add("length", std::to_string(length));
  m.node("Add", {"x", "w"}, {"y"});
  return m;
}

TEST(OnnxImport, ExternalDataIsReadFromTheModelsFolderOnly) {
  const tessera::testing::TemporaryDirectory folder;
  const float values[] = {9.0F, 1.5F, -2.0F};
  std::filesystem::create_directory(folder / "inside");
  tessera::testing::write_bytes(folder / "inside/weights.bin",
                                std::string(reinterpret_cast<const char*>(values), sizeof values));
  const std::string root = folder / "";
  tessera::testing::write_bytes(folder / "model.onnx", external_model("inside/weights.bin", 4, 8).bytes());
  expect_values(nn::Executor(import_onnx(root + "/model.onnx", {})).run(Tensor({1, 2})), {1, 2}, {1.5F, -2});
  EXPECT_EQ(external_model("inside/weights.bin", 4, -1).error(root), "");
  EXPECT_THAT(external_model("inside/weights.bin", 8, 8).error(root), HasSubstr("lies outside of"));
  EXPECT_THAT(external_model("inside/weights.bin", -4, 8).error(root), HasSubstr("lies outside of"));
  EXPECT_THAT(external_model("inside/weights.bin", 0, -1).error(root), HasSubstr("12 bytes for shape 2"));
  EXPECT_THAT(external_model("absent.bin", 0, 8).error(root), HasSubstr("cannot be read"));
  EXPECT_THAT(external_model("inside", 0, 8).error(root), HasSubstr("cannot be read"));
  EXPECT_THAT(external_model("../weights.bin", 0, 8).error(root), HasSubstr("not a file in the model's folder"));
  EXPECT_THAT(external_model("/etc/hostname", 0, 8).error(root), HasSubstr("not a file in the model's folder"));
  EXPECT_THAT(external_model("", 0, 8).error(root), HasSubstr("not a file in the model's folder"));
}

TEST(OnnxImport, BrevitasQuantBecomesArithmetic) {
  OnnxModel m;
  m.opset_import("onnx.brevitas", 1);
  m.input("x", {0, 4}).output("y").floats("scale", {}, {0.5F}).floats("zero", {}, {0}).floats("bits", {}, {3});
  auto& quant = m.node("Quant", {"x", "scale", "zero", "bits"}, {"y"});
  quant.set_domain("onnx.brevitas");
  OnnxModel::set_int(quant, "signed", 1);
  OnnxModel::set_int(quant, "narrow", 1);
  expect_values(run(m, Tensor({1, 4}, std::vector<float>{-9, 0.25F, 0.75F, 9})), {1, 4}, {-1.5F, 0, 1, 1.5F});
}

TEST(OnnxImport, RecurrentLayersWithBatchFirst) {
  OnnxModel m(14);
  m.input("x", {0, 2, 1}).output("h").floats("W", {1, 1, 1}, {1}).floats("R", {1, 1, 1}, {0.5F});
  auto& rnn = m.node("RNN", {"x", "W", "R"}, {"", "h"});
  OnnxModel::set_int(rnn, "layout", 1);
  auto* activations = rnn.add_attribute();
  activations->set_name("activations");
  activations->set_type(onnx::AttributeProto::STRINGS);
  activations->add_strings("Affine");
  // h = x2 + 0.5 x1
  expect_values(run(m, Tensor({2, 2, 1}, std::vector<float>{1, 2, 10, 20})), {2, 1, 1}, {2.5F, 25});
}

TEST(OnnxImport, GivenInputsBecomeConstants) {
  OnnxModel m;
  m.input("x", {0, 1, 3}).input("w", {1, 1, 2}).output("y");
  m.node("Conv", {"x", "w"}, {"y"});
  EXPECT_THAT(m.error(), HasSubstr("weight depends on the data"));
  OnnxImportOptions options;
  options.constants.emplace("w", Tensor({1, 1, 2}, std::vector<float>{1, 10}));
  expect_values(nn::Executor(m.import({}, options)).run(Tensor({1, 1, 3}, std::vector<float>{1, 2, 3})), {1, 1, 2},
                {21, 32});
}

TEST(OnnxImport, GemmOfTwoActivationsIsSpelledOut) {
  OnnxModel m;
  m.input("x", {2, 2}).output("y").floats("c", {2, 1}, {100, 200});
  auto& gemm = m.node("Gemm", {"x", "x", "c"}, {"y"}, "g");
  OnnxModel::set_int(gemm, "transA", 1);
  OnnxModel::set_float(gemm, "alpha", 2);
  OnnxModel::set_float(gemm, "beta", 0.5F);
  const nn::Graph graph = m.import({}, {.batched = false, .constants = {}});
  expect_values(nn::Executor(graph).run(Tensor({2, 2}, std::vector<float>{1, 2, 3, 4})), {2, 2}, {70, 78, 128, 140});
}

TEST(OnnxImport, NodesOutOfOrderAreSorted) {
  OnnxModel m;
  m.input("x", {0, 4}).output("y");
  m.node("Neg", {"a"}, {"y"});
  m.node("Relu", {"x"}, {"a"});
  expect_values(run(m, row), {1, 4}, {0, 0, -1, -2});
}

// --- documentation ---------------------------------------------------------------------------------------------------

TEST(OnnxPage, IsNotStale) {
  std::ifstream file(TESSERA_SOURCE_DIR + "/docs/onnx_ops.md");
  std::stringstream text;
  text << file.rdbuf();
  if (text.str() != onnx_operator_page()) {
    const std::string fresh = TESSERA_BINARY_DIR + "/onnx_ops.md";
    std::ofstream(fresh) << onnx_operator_page();
    FAIL() << "docs/onnx_ops.md differs from the importer's table; replace it by " << fresh;
  }
}

}  // namespace
}  // namespace tessera::io
