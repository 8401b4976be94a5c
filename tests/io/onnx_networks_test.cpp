#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "tessera/io/dataset.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/executor.hpp"

// Question: do pretrained networks that others made reproduce their published counts and outputs?
// TESSERA_DATA_DIR names the folder of the real data sets; TESSERA_DATA_FULL=0 uses the first 500 images of the large
// one.
namespace tessera::io {
namespace {

std::string data_folder() {
  const char* given = std::getenv("TESSERA_DATA_DIR");
  return given != nullptr ? given : TESSERA_SOURCE_DIR + "/../shared/data";
}

struct Case {
  const char* name;
  const char* model;
  const char* outputs;
  bool cifar;
  bool raw_pixels;
  std::int64_t correct;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

DataSet open(const Case& c) {
  const std::string root = data_folder();
  DataParameters p;
  if (c.cifar) {
    p.format = DataFormat::cifar10;
    p.inputs = {root + "/cifar10/test_a.bin"};
    p.mean = {0.485, 0.456, 0.406};
    p.std = {0.229, 0.224, 0.225};
  } else {
    p.format = DataFormat::idx;
    p.inputs = {root + "/mnist/t10k-images-idx3-ubyte"};
    p.labels = root + "/mnist/t10k-labels-idx1-ubyte";
  }
  p.scale = c.raw_pixels ? 1.0 : 1.0 / 255.0;
  if (c.cifar && std::getenv("TESSERA_DATA_FULL") == nullptr) p.limit = 500;
  return DataSet(p);
}

class Networks : public testing::TestWithParam<Case> {};

TEST_P(Networks, CountAndOutputsAreThePublishedOnes) {
  const Case& c = GetParam();
  const std::string root = data_folder();
  if (!std::filesystem::exists(root + "/" + c.model))
    GTEST_SKIP() << root << " has no " << c.model << "; set TESSERA_DATA_DIR";
  const nn::Executor executor(import_onnx(root + "/" + c.model, {}));
  const DataSet data = open(c);
  const Tensor wanted = read_npy(root + "/" + c.outputs);
  std::int64_t correct = 0;
  double largest = 0.0, difference = 0.0;
  for (std::int64_t first = 0; first < data.size(); first += 100) {
    const std::int64_t count = std::min<std::int64_t>(100, data.size() - first);
    const Tensor y = executor.run(data.read(first, count), {.parallel = Parallel::all()});
    ASSERT_EQ(y.shape(), (Shape{count, 10}));
    for (std::int64_t i = 0; i < count; ++i) {
      const float* row = y.data() + i * 10;
      correct += std::max_element(row, row + 10) - row == data.labels()[static_cast<std::size_t>(first + i)];
    }
    if (first > 0) continue;
    ASSERT_EQ(wanted.size(), y.size());
    for (std::int64_t i = 0; i < y.size(); ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(wanted.data()[i])));
      difference =
          std::max(difference, std::fabs(static_cast<double>(wanted.data()[i]) - static_cast<double>(y.data()[i])));
    }
  }
  EXPECT_LE(difference, 1e-4 * largest);
  const double all = c.cifar ? 5000.0 : 10000.0, published = static_cast<double>(c.correct) / all;
  const auto n = static_cast<double>(data.size());
  // Of a part drawn at random: 4 standard deviations (one false alarm in 16,000); of all: two ties.
  const double tolerance = n == all ? 2.0 : 4.0 * std::sqrt(n * published * (1.0 - published));
  EXPECT_NEAR(static_cast<double>(correct), published * n, tolerance);
}

// An exported encoder: attention of two activations, LayerNormalization, Gelu, shapes computed in the graph
// (scripts/make_tiny_transformer.py). Sums of a few dozen float32 products in another order: 1e-5.
TEST(Transformer, AgreesWithOnnxRuntime) {
  const std::string folder = TESSERA_SOURCE_DIR + "/tests/data/onnx/";
  const nn::Executor executor(import_onnx(folder + "tiny_transformer.onnx", {}));
  const Tensor x = read_npy(folder + "tiny_transformer_input.npy"),
               wanted = read_npy(folder + "tiny_transformer_output.npy");
  const Tensor y = executor.run(x);
  ASSERT_EQ(y.shape(), wanted.shape());
  for (std::int64_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y.data()[i], wanted.data()[i], 1e-5F) << i;
  // Every projection is a layer that can be analog; the products of attention are not.
  EXPECT_EQ(executor.layers().size(), 14U);
  // A batch cut in two gives the same bits.
  const std::int64_t half = 3 * x.size() / x.dim(0);
  const Tensor front(Shape{3, 12, 8}, x.values().first(static_cast<std::size_t>(half)));
  const Tensor part = executor.run(front, {.parallel = {2}});
  for (std::int64_t i = 0; i < part.size(); ++i) EXPECT_EQ(part.data()[i], y.data()[i]);
}

INSTANTIATE_TEST_SUITE_P(
    Published, Networks,
    testing::Values(
        Case{"mnist8", "mnist/mnist-8/model.onnx", "mnist/mnist-8/logits_first100.npy", false, true, 9891},
        Case{"lenet5", "mnist/lenet5-relu.onnx", "mnist/lenet5-relu_logits_first100.npy", false, false, 9813},
        Case{"mlpbn", "mnist/mlp-bn.onnx", "mnist/mlp-bn_logits_first100.npy", false, false, 9189},
        Case{"mlp128", "mnist/mlp128.onnx", "mnist/mlp128_probs_first100.npy", false, false, 9819},
        Case{"resnet20", "cifar10/resnet20.onnx", "cifar10/resnet20_logits_first100.npy", true, false, 4589},
        Case{"resnet20folded", "cifar10/resnet20_folded.onnx", "cifar10/resnet20_logits_first100.npy", true, false,
             4589}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace tessera::io
