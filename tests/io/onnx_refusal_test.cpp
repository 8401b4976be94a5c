#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

#include "h5/temporary_directory.hpp"
#include "onnx_model.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/random/stream.hpp"

// Question: are broken ONNX files refused with everything that is wrong with them, never with a crash?
namespace tessera::io {
namespace {

using test::OnnxModel;
using ::testing::HasSubstr;
using ::testing::Not;
using Proto = onnx::TensorProto;

TEST(OnnxRefusal, EveryUnsupportedNodeIsInOneMessage) {
  OnnxModel m;
  m.opset_import("com.microsoft", 1);
  m.input("x", {0, 4}).output("y");
  m.node("StringConcat", {"x", "x"}, {"a"}, "first");
  m.node("Relu", {"a"}, {"b"}, "fine");
  m.node("LongformerAttention", {"b", "x"}, {"c"}, "second").set_domain("com.microsoft");
  m.node("Scan", {"c"}, {"d"}, "third");
  m.node("Rellu", {"d"}, {"y"}, "fourth");
  const std::string message = m.error();
  EXPECT_THAT(message, HasSubstr("model.onnx: 4 problems"));
  EXPECT_THAT(message, HasSubstr("node 0 'first' (StringConcat, opset 13)"));
  EXPECT_THAT(message, HasSubstr("node 2 'second' (com.microsoft::LongformerAttention, opset 1)"));
  EXPECT_THAT(message, HasSubstr("export from the training framework"));
  EXPECT_THAT(message, HasSubstr("node 3 'third' (Scan, opset 13)"));
  EXPECT_THAT(message, HasSubstr("the nearest name is 'Relu'"));
  EXPECT_THAT(message, Not(HasSubstr("'fine'")));
}

// Found by fuzzing: the trailing absent inputs of a Resize were dropped beyond the first.
TEST(OnnxRefusal, AResizeWithoutAnyInput) {
  for (const std::vector<std::string>& inputs : {std::vector<std::string>{}, {""}, {"", "", "", ""}}) {
    OnnxModel m;
    m.input("x", {0, 1, 2, 2}).output("y");
    m.node("Resize", inputs, {"y"}, "resize");
    EXPECT_THAT(m.error(), HasSubstr("'resize' (Resize, opset 13)")) << inputs.size();
  }
}

TEST(OnnxRefusal, OpsetsThatAreNotKnown) {
  for (const int opset : {0, 26, 9999}) {
    OnnxModel m(opset);
    m.input("x", {0, 4}).output("y");
    m.node("Relu", {"x"}, {"y"});
    EXPECT_THAT(m.error(), HasSubstr(fmt::format("opset {} (must be 1 to 25)", opset)));
  }
  OnnxModel old(13);
  old.input("x", {0, 4}).output("y");
  old.node("Gelu", {"x"}, {"y"});
  EXPECT_THAT(old.error(), HasSubstr("is known in opset 20 to 25 only"));
}

TEST(OnnxRefusal, DamagedTensors) {
  const auto with = [](const auto& change) {
    OnnxModel m;
    m.input("x", {0, 2}).output("y");
    change(m);
    m.node("Add", {"x", "w"}, {"y"});
    return m.error();
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(with([&](OnnxModel& m) {
                m.floats("w", {2}, {1, nan});
              }),
              HasSubstr("initialiser 'w': element 1 is not a number"));
  EXPECT_THAT(with([](OnnxModel& m) { m.floats("w", {2}, {1}); }), HasSubstr("1 values for shape 2"));
  EXPECT_THAT(with([](OnnxModel& m) { m.initializer("w", {2}).set_raw_data("abc"); }),
              HasSubstr("3 bytes for shape 2"));
  EXPECT_THAT(with([](OnnxModel& m) { m.floats("w", {-2}, {1, 2}); }), HasSubstr("negative extent"));
  EXPECT_THAT(with([](OnnxModel& m) {
                m.floats("w", {std::int64_t{1} << 40, std::int64_t{1} << 40}, {1});
              }),
              HasSubstr("too large"));
  EXPECT_THAT(with([](OnnxModel& m) { m.floats("w", {std::int64_t{1} << 60}, {1}); }), HasSubstr("1 values for shape"));
  EXPECT_THAT(with([](OnnxModel& m) { m.initializer("w", {2}, Proto::STRING); }), HasSubstr("type STRING"));
  EXPECT_THAT(with([](OnnxModel& m) { m.initializer("w", {2}, 77); }), HasSubstr("type 77"));
  EXPECT_THAT(with([](OnnxModel& m) {
                auto& w = m.initializer("w", {2}, Proto::DOUBLE);
                w.add_double_data(1e300);
                w.add_double_data(1);
              }),
              HasSubstr("beyond float32"));
  EXPECT_THAT(with([](OnnxModel& m) {
                m.floats("w", {2}, {1, 2}).floats("w", {2}, {1, 2});
              }),
              HasSubstr("occurs twice"));
}

TEST(OnnxRefusal, GraphsThatDoNotHoldTogether) {
  OnnxModel missing;
  missing.input("x", {0, 2}).output("y").output("z");
  missing.node("Add", {"x", "w"}, {"y"}, "sum");
  EXPECT_THAT(missing.error(), HasSubstr("node 0 'sum' (Add, opset 13): reads 'w', which nothing defines"));

  OnnxModel cycle;
  cycle.input("x", {0, 2}).output("y");
  cycle.node("Add", {"x", "b"}, {"a"}, "one");
  cycle.node("Relu", {"a"}, {"b"}, "two");
  cycle.node("Relu", {"b"}, {"y"}, "three");
  EXPECT_THAT(cycle.error(), HasSubstr("part of a cycle"));

  OnnxModel twice;
  twice.input("x", {0, 2}).output("y");
  twice.node("Relu", {"x"}, {"y"});
  twice.node("Exp", {"x"}, {"y"});
  EXPECT_THAT(twice.error(), HasSubstr("which something else defines too"));

  OnnxModel loose;
  loose.input("x", {0, 2}).output("nowhere");
  loose.node("Relu", {"x"}, {"y"});
  EXPECT_THAT(loose.error(), HasSubstr("output 'nowhere' is not defined"));

  OnnxModel shapes;
  shapes.input("x", {0, 4})
      .output("y")
      .output("z")
      .floats("w", {3, 2}, {1, 2, 3, 4, 5, 6})
      .floats("v", {7, 1}, {1, 2, 3, 4, 5, 6, 7});
  shapes.node("MatMul", {"x", "w"}, {"y"}, "left");
  shapes.node("MatMul", {"x", "v"}, {"z"}, "right");
  EXPECT_THAT(shapes.error(), HasSubstr("2 problems"));
  EXPECT_THAT(shapes.error(), HasSubstr("'left'"));
  EXPECT_THAT(shapes.error(), HasSubstr("'right'"));
}

TEST(OnnxRefusal, FilesThatAreNone) {
  const tessera::testing::TemporaryDirectory folder;
  const std::string root = folder / "";
  const auto error_of = [](const std::string& path) {
    try {
      import_onnx(path, {});
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(error_of(root + "/absent.onnx"), HasSubstr("no such file"));
  EXPECT_THAT(error_of(root), HasSubstr("not a file"));
  tessera::testing::write_bytes(folder / "text.onnx", "this is not a network at all");
  tessera::testing::write_bytes(folder / "empty.onnx", "");
  EXPECT_THAT(error_of(root + "/text.onnx"), HasSubstr("not an ONNX model"));
  EXPECT_THAT(error_of(root + "/empty.onnx"), HasSubstr("not an ONNX model"));
}

OnnxModel network_for_damage() {
  OnnxModel m;
  m.input("x", {1, 1, 6, 6}).output("y");
  m.floats("w", {2, 1, 3, 3}, std::vector<float>(18, 0.5F)).floats("b", {2}, {1, 2}).ints("shape", {1, -1});
  m.floats("fc", {36, 3}, std::vector<float>(108, 0.1F)).ints("pads", {0, 0, 1, 1, 0, 0, 1, 1});
  m.node("Pad", {"x", "pads"}, {"p"});
  OnnxModel::set_ints(m.node("Conv", {"p", "w", "b"}, {"c"}), "strides", {2, 2});
  m.node("Relu", {"c"}, {"r"});
  auto& pool = m.node("MaxPool", {"r"}, {"m"});
  OnnxModel::set_ints(pool, "kernel_shape", {2, 2});
  OnnxModel::set_ints(pool, "pads", {0, 0, 1, 1});
  m.node("Reshape", {"m", "shape"}, {"f"});
  auto& slice = m.node("Concat", {"f", "f"}, {"g"});
  OnnxModel::set_int(slice, "axis", 1);
  m.node("MatMul", {"g", "fc"}, {"h"});
  m.node("Softmax", {"h"}, {"y"});
  return m;
}

/// Truncated and bit-flipped files: an error or a network that runs, nothing else. TESSERA_FUZZ_TRIALS sets how many.
TEST(OnnxRefusal, TenThousandDamagedFiles) {
  const std::string good = network_for_damage().bytes();
  ASSERT_EQ(network_for_damage().error(), "");
  const random::Stream stream({.layer = 77}, random::Purpose::test);
  const char* given = std::getenv("TESSERA_FUZZ_TRIALS");
  const std::uint64_t trials = given != nullptr ? std::strtoull(given, nullptr, 10) : 10000;
  std::uint64_t refused = 0, accepted = 0;
  for (std::uint64_t trial = 0; trial < trials; ++trial) {
    std::string bytes = good;
    const auto draw = [&](std::uint32_t event) { return random::bits(stream, event, trial); };
    if (trial % 10 == 0) bytes.resize(draw(0) % bytes.size());
    const std::uint32_t flips = 1 + draw(1) % 3;
    for (std::uint32_t f = 0; f < flips && !bytes.empty(); ++f)
      bytes[draw(2 + 2 * f) % bytes.size()] = static_cast<char>(draw(3 + 2 * f));
    try {
      const nn::Graph graph = import_onnx_bytes(bytes, "damaged", ".", {});
      const nn::Executor executor(graph);
      const std::vector<Shape> shapes = nn::input_shapes(graph, 2);
      std::int64_t elements = 0;
      for (const nn::ValueInfo& info : nn::infer_shapes(graph, shapes)) elements += element_count(info.shape);
      if (elements < 1000000 && shapes.size() == 1) executor.run(Tensor(shapes[0]));
      ++accepted;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, trials / 10);
  EXPECT_GT(accepted, trials / 10);
}

}  // namespace
}  // namespace tessera::io
