// Do trained weights come back from an ONNX file as they went in, and are networks refused whose weights have no place
// there?
#include "tessera/io/onnx_weights.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tessera/core/error.hpp"
#include "tessera/io/onnx_import.hpp"

namespace tessera::io {
namespace {

class OnnxWeightsTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(target_); }
  const std::string source_ = TESSERA_SOURCE_DIR + "/configs/models/glyphs_linear.onnx";
  const std::string target_ =
      testing::TempDir() + "tessera_weights_" + testing::UnitTest::GetInstance()->current_test_info()->name() + ".onnx";
};

TEST_F(OnnxWeightsTest, ComeBackBitForBit) {
  nn::Graph graph = import_onnx(source_, {});
  int changed = 0;
  for (nn::Value& value : graph.values)
    if (value.constant && std::holds_alternative<Tensor>(*value.constant)) {
      for (float& w : std::get<Tensor>(*value.constant).values()) w = 0.5F * w + 1.0F / 3.0F;
      ++changed;
    }
  ASSERT_EQ(changed, 2);
  write_onnx_weights(source_, graph, {{"trained_by", "a test"}}, target_);
  const nn::Graph again = import_onnx(target_, {});
  ASSERT_EQ(again.values.size(), graph.values.size());
  for (std::size_t v = 0; v < graph.values.size(); ++v) {
    const Tensor* const expected = graph.tensor(static_cast<nn::ValueId>(v));
    if (expected == nullptr) continue;
    const Tensor* const found = again.tensor(static_cast<nn::ValueId>(v));
    ASSERT_NE(found, nullptr);
    EXPECT_TRUE(std::ranges::equal(found->values(), expected->values()));
  }
  std::ifstream file(target_, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  EXPECT_NE(bytes.find("a test"), std::string::npos);
}

TEST_F(OnnxWeightsTest, RefusesNetworksThatTheFileCannotHold) {
  const nn::Graph graph = import_onnx(source_, {});
  nn::Graph scaled = graph;
  scaled.nodes.back().attributes["alpha"] = 2.0F;
  EXPECT_THROW(write_onnx_weights(source_, scaled, {}, target_), InputError);
  nn::Graph grown = graph;
  for (nn::Value& value : grown.values)
    if (value.constant && std::holds_alternative<Tensor>(*value.constant)) value.constant = Tensor({3});
  EXPECT_THROW(write_onnx_weights(source_, grown, {}, target_), InputError);
  EXPECT_THROW(write_onnx_weights(TESSERA_SOURCE_DIR + "/README.md", graph, {}, target_), InputError);
  EXPECT_FALSE(std::filesystem::exists(target_));
  EXPECT_THROW(write_onnx_weights(source_, graph, {}, "/nowhere/at/all.onnx"), RunError);
}

}  // namespace
}  // namespace tessera::io
