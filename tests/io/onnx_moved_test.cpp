// Are the weights of large files read where they lie, and are they what a copy would hold?
#include <gmock/gmock.h>

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "io/onnx_model.hpp"
#include "io/onnx_moved.hpp"
#include "tessera/nn/executor.hpp"

namespace tessera::io {
namespace {

using test::OnnxModel;

constexpr std::int64_t side = 256;

/// `layers` products; the name of the first weight is `odd` letters long, so that its bytes lie askew in the file.
OnnxModel chain(int layers, std::size_t odd) {
  OnnxModel model;
  model.input("x", {0, side}).output(fmt::format("y{}", layers - 1));
  std::vector<float> values(static_cast<std::size_t>(side * side));
  for (int l = 0; l < layers; ++l) {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = 0.01F * static_cast<float>((i * 2654435761U + static_cast<std::size_t>(l)) % 97U) - 0.5F;
    const std::string name = (l == 0 ? std::string(odd, 'w') : "w") + std::to_string(l);
    model.initializer(name, {side, side}).set_raw_data(values.data(), values.size() * sizeof(float));
    auto& node = model.node(l % 2 == 0 ? "Gemm" : "MatMul", {l == 0 ? "x" : fmt::format("y{}", l - 1), name},
                            {fmt::format("y{}", l)}, fmt::format("layer{}", l));
    if (l % 4 == 0) OnnxModel::set_int(node, "transB", 1);
  }
  return model;
}

TEST(OnnxMoved, LargeRawDataBecomePlacesInTheFileAndNothingElseChanges) {
  OnnxModel model = chain(3, 1);
  model.ints("axes", {1, 2, 3});
  const std::string bytes = model.bytes();
  const std::optional<std::string> moved = with_moved_weights(bytes);
  ASSERT_TRUE(moved.has_value());
  EXPECT_LT(moved->size(), 4096U);
  onnx::ModelProto read;
  ASSERT_TRUE(read.ParseFromString(*moved));
  for (int l = 0; l < 3; ++l) {
    onnx::TensorProto& tensor = *read.mutable_graph()->mutable_initializer(l);
    EXPECT_EQ(tensor.data_location(), onnx::TensorProto::EXTERNAL);
    std::map<std::string, std::string> place;
    for (const auto& entry : tensor.external_data()) place[entry.key()] = entry.value();
    EXPECT_TRUE(place.contains(key_of_moved));
    const std::string& data = model.model.graph().initializer(l).raw_data();
    ASSERT_EQ(std::stoull(place["length"]), data.size());
    EXPECT_EQ(bytes.compare(std::stoull(place["offset"]), data.size(), data), 0);
    tensor.clear_external_data();
    tensor.clear_data_location();
    tensor.set_raw_data(data);
  }
  EXPECT_EQ(read.SerializeAsString(), bytes);
}

TEST(OnnxMoved, WhatIsNoMessageIsLeftToTheParser) {
  const std::string bytes = chain(2, 1).bytes();
  EXPECT_FALSE(with_moved_weights(std::string(20, '\xff')).has_value());
  EXPECT_FALSE(with_moved_weights(std::span(bytes).first(bytes.size() - 7)).has_value());
  EXPECT_EQ(with_moved_weights({}).value_or("none"), "");
}

TEST(OnnxMoved, TensorsOfALargeFileHoldTheSameValuesWhereverTheyLie) {
  const std::string path = testing::TempDir() + fmt::format("tessera_moved_{}.onnx", ::getpid());
  constexpr int layers = 260;  // 65 MiB
  std::size_t askew = 0;
  for (const std::size_t odd : {1U, 2U}) {
    const std::string bytes = chain(layers, odd).bytes();
    std::ofstream(path, std::ios::binary) << bytes;
    const nn::Graph mapped = import_onnx(path, {}), copied = import_onnx_bytes(bytes, "copied", ".", {});
    ASSERT_EQ(mapped.values.size(), copied.values.size());
    for (std::size_t v = 0; v < mapped.values.size(); ++v) {
      if (!mapped.values[v].constant) continue;
      const Tensor &a = std::get<Tensor>(*mapped.values[v].constant), &b = std::get<Tensor>(*copied.values[v].constant);
      ASSERT_EQ(a.shape(), b.shape());
      EXPECT_FALSE(a.owns_values());
      EXPECT_TRUE(b.owns_values());
      std::vector<float> part(100);
      a.copy(77, part);
      EXPECT_EQ(std::memcmp(part.data(), b.data() + 77, sizeof(float) * part.size()), 0);
      EXPECT_EQ(std::memcmp(a.data(), b.data(), sizeof(float) * static_cast<std::size_t>(b.size())), 0);
      const auto offset = bytes.find(std::string(reinterpret_cast<const char*>(b.data()), 4096));
      askew += offset % alignof(float) != 0 ? 1 : 0;
      Tensor written = a;
      written.data()[0] = 7.0F;
      EXPECT_EQ(a.data()[0], b.data()[0]) << "copies are written to on their own";
      if (v > 8) break;
    }
    std::filesystem::remove(path);  // what is mapped stays
    const nn::Executor first(mapped, {}), second(copied, {});
    Tensor x({2, side});
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = 1e-3F * static_cast<float>(i % 5);
    for (std::size_t l : {0U, 1U, 2U})
      for (const nn::LinearPart& part : first.layers()[l].parts)
        EXPECT_TRUE(
            std::ranges::equal(part.weight.matrix().values(), second.layers()[l].parts[0].weight.matrix().values()));
    for (std::size_t n : {0U, 1U, 4U}) {  // packed only, but still there for who asks
      const nn::ValueId id = second.graph().nodes[n].inputs[1];
      EXPECT_TRUE(std::ranges::equal(second.graph().tensor(id)->values(), copied.tensor(id)->values())) << n;
    }
  }
  EXPECT_GT(askew, 0U) << "the test means to read floats that are not aligned";
}

TEST(OnnxMoved, ConvolutionsThatArePackedGiveTheirWeightsBack) {
  OnnxModel model;
  model.input("x", {0, 4, 6, 6}).output("y");
  std::vector<float> values(6 * 2 * 3 * 2);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  model.floats("w", {6, 2, 3, 2}, values);
  OnnxModel::set_int(model.node("Conv", {"x", "w"}, {"y"}, "conv"), "group", 2);
  const nn::Executor executor(model.import(), {});
  EXPECT_FALSE(executor.graph().tensor(executor.graph().nodes[0].inputs[1])->owns_values());
  EXPECT_TRUE(std::ranges::equal(executor.graph().tensor(executor.graph().nodes[0].inputs[1])->values(), values));
  EXPECT_EQ(executor.layers()[0].parts[1].weight.matrix()(0, 5), 41.0F);
}

}  // namespace
}  // namespace tessera::io
