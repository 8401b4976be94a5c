#include "tessera/nn/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <set>

#include "network.hpp"

// Question: does the executor give the same bits however the work is cut, feed replaced layers what they should see,
// and refuse what cannot be right?
namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using testing::HasSubstr;

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0;
}

Tensor slice(const Tensor& all, std::int64_t first, std::int64_t count) {
  Shape shape = all.shape();
  shape[0] = count;
  const std::int64_t row = all.size() / all.dim(0);
  return {shape, std::span<const float>(all.data() + first * row, static_cast<std::size_t>(count * row))};
}

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// The product written out, in double; counts which vectors it was given.
class PlainOperator : public LinearOperator {
 public:
  explicit PlainOperator(const LinearPart& part) : part_(part), weight_(part.weight.matrix()) {}

  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel) const override {
    for (std::int64_t v = 0; v < x.rows; ++v)
      for (std::int64_t o = 0; o < part_.weight.rows(); ++o) {
        double sum = part_.bias.empty() ? 0.0 : static_cast<double>(part_.bias[static_cast<std::size_t>(o)]);
        for (std::int64_t k = 0; k < x.cols; ++k)
          sum += static_cast<double>(x(v, k)) * static_cast<double>(weight_(o, k));
        y(v, o) = static_cast<float>(sum);
      }
    const std::lock_guard lock(mutex_);
    for (std::int64_t v = 0; v < x.rows; ++v)
      repeated_ |= !seen_.insert(first_vector + static_cast<std::uint64_t>(v)).second;
  }

  const std::set<std::uint64_t>& seen() const { return seen_; }
  bool repeated() const { return repeated_; }

 private:
  const LinearPart& part_;
  Matrix weight_;
  mutable std::mutex mutex_;
  mutable std::set<std::uint64_t> seen_;
  mutable bool repeated_ = false;
};

struct Replaced {
  explicit Replaced(const Executor& executor) {
    for (const LinearLayer& layer : executor.layers()) {
      std::vector<const LinearOperator*> row;
      for (const LinearPart& part : layer.parts) {
        operators.push_back(std::make_unique<PlainOperator>(part));
        row.push_back(operators.back().get());
      }
      overrides.push_back(row);
    }
  }
  std::vector<std::unique_ptr<PlainOperator>> operators;
  LinearOverrides overrides;
};

double largest_difference(const Tensor& a, const Tensor& b) {
  double largest = 0.0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::fabs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])));
  return largest;
}

TEST(Executor, BitsDoNotDependOnThreadsOrBatches) {
  const Executor executor(test::small_cnn());
  const Tensor x = random_tensor({37, 3, 9, 9}, 9);
  const Tensor whole = executor.run(x, {.parallel = {1}});
  EXPECT_EQ(whole.shape(), (Shape{37, 7}));
  for (const int threads : {2, 3, 5})
    EXPECT_TRUE(same_bits(whole, executor.run(x, {.parallel = {threads}}))) << threads;
  for (const std::int64_t batch : {1, 2, 5, 16})
    for (std::int64_t first = 0; first < 37; first += batch) {
      const std::int64_t count = std::min(batch, 37 - first);
      EXPECT_TRUE(same_bits(slice(whole, first, count), executor.run(slice(x, first, count), {.parallel = {2}})));
    }
}

TEST(Executor, ObservedRunsAndRunsByPartsGiveTheSameBits) {
  const Executor executor(test::small_cnn());
  const Tensor x = random_tensor({5, 3, 9, 9}, 10);
  std::vector<std::string> seen;
  RunOptions options;
  options.observer = [&](const LinearRecord& record) {
    seen.push_back(executor.layers()[record.layer].name);
    EXPECT_EQ(record.input.values.shape(), executor.layer_input_shape(record.layer, 5));
    EXPECT_EQ(record.output.values.shape(), executor.layer_output_shape(record.layer, 5));
    const Activation alone = executor.apply_linear(record.layer, {}, record.input, 0, {2});
    EXPECT_TRUE(same_bits(alone.values, record.output.values)) << record.layer;
  };
  const Tensor observed = executor.run(x, options);
  EXPECT_TRUE(same_bits(observed, executor.run(x)));
  EXPECT_EQ(seen, (std::vector<std::string>{"conv1", "conv2", "fc"}));
}

TEST(Executor, ObserverSeesValuesBeforeTheActivation) {
  const Executor executor(test::small_cnn());
  bool negative = false;
  RunOptions options;
  options.observer = [&](const LinearRecord& record) {
    if (record.layer == 0)
      for (const float v : record.output.values.values()) negative |= v < 0.0F;
  };
  executor.run(random_tensor({2, 3, 9, 9}, 11), options);
  EXPECT_TRUE(negative);
}

TEST(Executor, ReplacedLayersSeeEveryVectorOnceUnderItsNumber) {
  const Executor executor(test::small_cnn());
  const Replaced replaced(executor);
  const Tensor x = random_tensor({6, 3, 9, 9}, 12);
  const Tensor reference = executor.run(x);
  Tensor result(reference.shape());
  constexpr std::int64_t first = 100;
  for (std::int64_t i = 0; i < 6; i += 4) {
    const std::int64_t count = std::min<std::int64_t>(4, 6 - i);
    const Tensor part = executor.run(slice(x, i, count), {.first_sample = static_cast<std::uint64_t>(first + i),
                                                          .parallel = {2},
                                                          .overrides = &replaced.overrides,
                                                          .observer = {}});
    std::copy_n(part.data(), part.size(), result.data() + i * 7);
  }
  EXPECT_LT(largest_difference(result, reference), 1e-5);
  // conv1 has one part, conv2 two groups, fc one part.
  ASSERT_EQ(replaced.operators.size(), 4U);
  const std::vector<std::uint64_t> vectors = {81, 81, 81, 1};
  for (std::size_t p = 0; p < 4; ++p) {
    const PlainOperator& op = *replaced.operators[p];
    EXPECT_FALSE(op.repeated()) << p;
    EXPECT_EQ(op.seen().size(), 6 * vectors[p]) << p;
    EXPECT_EQ(*op.seen().begin(), first * vectors[p]) << p;
    EXPECT_EQ(*op.seen().rbegin(), (first + 6) * vectors[p] - 1) << p;
  }
  EXPECT_EQ(executor.vectors_per_sample(0), 81);
  EXPECT_EQ(executor.vectors_per_sample(2), 1);
  EXPECT_EQ(executor.layers()[1].part_name(1), "conv2.group1");
  EXPECT_EQ(executor.layers()[0].part_name(0), "conv1");
}

TEST(Executor, OneReplacedLayerLeavesTheOthersFloat) {
  const Executor executor(test::small_cnn());
  Replaced replaced(executor);
  replaced.overrides[0].clear();
  replaced.overrides[2].clear();
  executor.run(random_tensor({2, 3, 9, 9}, 13),
               {.first_sample = 0, .parallel = {}, .overrides = &replaced.overrides, .observer = {}});
  EXPECT_TRUE(replaced.operators[0]->seen().empty());
  EXPECT_FALSE(replaced.operators[1]->seen().empty());
  EXPECT_TRUE(replaced.operators[3]->seen().empty());
}

TEST(Executor, ConvolutionVectorsAreChannelMajorIm2col) {
  Network net;
  const ValueId x = net.input({-1, 2, 2, 2});
  net.output(net.node("Conv", {x, net.constant(random_tensor({1, 2, 2, 2}, 1))}));
  const Executor executor(net.graph);
  class Check : public LinearOperator {
   public:
    void forward(ConstMatrixView v, MatrixView y, std::uint64_t, Parallel) const override {
      for (std::int64_t k = 0; k < 8; ++k) EXPECT_EQ(v(0, k), static_cast<float>(k));
      y(0, 0) = 42.0F;
    }
  };
  const Check check;
  const LinearOverrides overrides = {{&check}};
  const Tensor y = executor.run(test::tensor({1, 2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7}),
                                {.first_sample = 0, .parallel = {}, .overrides = &overrides, .observer = {}});
  EXPECT_EQ(y.data()[0], 42.0F);
}

TEST(Executor, DenseLayersWithBatchOnAnotherAxisNumberVectorsByStep) {
  // [N, 3, 4] -> transpose to [3, N, 4] -> product: vectors (step << 32) + sample.
  Network net;
  const ValueId x = net.input({-1, 3, 4});
  const ValueId t = net.node("Transpose", {x}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
  const ValueId y = net.node("MatMul", {t, net.constant(random_tensor({4, 5}, 2))});
  net.output(net.node("Transpose", {y}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}}));
  const Executor executor(net.graph);
  const Replaced replaced(executor);
  executor.run(random_tensor({2, 3, 4}, 3),
               {.first_sample = 10, .parallel = {}, .overrides = &replaced.overrides, .observer = {}});
  const std::set<std::uint64_t> wanted = {
      10, 11, (1ULL << 32U) + 10, (1ULL << 32U) + 11, (2ULL << 32U) + 10, (2ULL << 32U) + 11};
  EXPECT_EQ(replaced.operators[0]->seen(), wanted);
  EXPECT_FALSE(replaced.operators[0]->repeated());
}

TEST(Executor, RecurrentPartsAgreeWithTheReplacedOnes) {
  for (const std::string op : {"LSTM", "GRU", "RNN"}) {
    const std::int64_t gates = op == "LSTM" ? 4 : op == "GRU" ? 3 : 1;
    Network net;
    const ValueId x = net.input({-1, 5, 3});
    const ValueId t = net.node("Transpose", {x}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
    const ValueId y =
        net.node(op,
                 {t, net.constant(random_tensor({2, gates * 4, 3}, 1)),
                  net.constant(random_tensor({2, gates * 4, 4}, 2)), net.constant(random_tensor({2, gates * 8}, 3))},
                 {{"direction", std::string("bidirectional")}});
    net.output(net.node("Transpose", {y}, {{"perm", std::vector<std::int64_t>{2, 0, 1, 3}}}));
    const Executor executor(net.graph);
    const Replaced replaced(executor);
    const Tensor in = random_tensor({6, 5, 3}, 4);
    const Tensor reference = executor.run(in);
    EXPECT_EQ(reference.shape(), (Shape{6, 5, 2, 4}));
    const Tensor result =
        executor.run(in, {.first_sample = 0, .parallel = {2}, .overrides = &replaced.overrides, .observer = {}});
    EXPECT_LT(largest_difference(result, reference), 1e-5) << op;
    ASSERT_EQ(executor.layers().size(), 1U);
    EXPECT_EQ(executor.vectors_per_sample(0), 5);
    for (const auto& part : replaced.operators) {
      EXPECT_EQ(part->seen().size(), 30U) << op;
      EXPECT_FALSE(part->repeated()) << op;
    }
    // One sample alone: the same bits as in the batch.
    EXPECT_TRUE(same_bits(slice(reference, 2, 1), executor.run(slice(in, 2, 1)))) << op;
  }
}

TEST(Executor, TargetShapesThatFollowTheBatchWorkInBlocks) {
  // Shape -> Gather -> Concat -> Reshape to [batch, 2, -1], as exporters write it, over enough samples for several
  // blocks.
  Network net;
  const ValueId x = net.input({-1, 64, 32, 32});
  const ValueId batch = net.node("Gather", {net.node("Shape", {x}), net.integers({0})});
  const ValueId target = net.node("Concat", {batch, net.integers({2, -1})}, {{"axis", std::int64_t{0}}});
  const ValueId y = net.node("Reshape", {net.node("Relu", {x}), target});
  net.output(net.node("ReduceMax", {y, net.integers({2})}, {{"keepdims", std::int64_t{0}}}));
  const Executor executor(net.graph);
  const Tensor in = random_tensor({11, 64, 32, 32}, 1);
  const Tensor whole = executor.run(in, {.parallel = {3}});
  ASSERT_EQ(whole.shape(), (Shape{11, 2}));
  for (std::int64_t n = 0; n < 11; ++n) EXPECT_TRUE(same_bits(slice(whole, n, 1), executor.run(slice(in, n, 1)))) << n;
  EXPECT_EQ(executor.run(Tensor(Shape{0, 64, 32, 32})).shape(), (Shape{0, 2}));
}

TEST(Executor, RecurrentLayersRunAloneWithAStateThatFollowsTheBatch) {
  Network net;
  const ValueId x = net.input({-1, 5, 3});
  const ValueId t = net.node("Transpose", {x}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
  const ValueId batch = net.node("Gather", {net.node("Shape", {x}), net.integers({0})});
  const ValueId shape = net.node("Concat", {net.integers({1}), batch, net.integers({4})}, {{"axis", std::int64_t{0}}});
  const ValueId state = net.node("ConstantOfShape", {shape}, {{"value", 0.25F}});
  const ValueId y = net.node("RNN", {t, net.constant(random_tensor({1, 4, 3}, 1)),
                                     net.constant(random_tensor({1, 4, 4}, 2)), no_value, no_value, state});
  net.output(net.node("Transpose", {y}, {{"perm", std::vector<std::int64_t>{2, 0, 1, 3}}}));
  const Executor executor(net.graph);
  int calls = 0;
  RunOptions options;
  options.observer = [&](const LinearRecord& record) {
    ++calls;
    EXPECT_TRUE(same_bits(executor.apply_linear(0, {}, record.input, 0, {}).values, record.output.values));
  };
  executor.run(random_tensor({6, 5, 3}, 3), options);
  EXPECT_EQ(calls, 1);
}

TEST(Executor, SamplesOfAnotherShapeAreTakenInOrder) {
  Network net;
  net.output(net.node("Relu", {net.input({-1, 6})}));
  const Executor executor(net.graph);
  EXPECT_EQ(executor.run(random_tensor({3, 1, 2, 3}, 1)).shape(), (Shape{3, 6}));
  EXPECT_THAT(message_of([&] { executor.run(random_tensor({3, 7}, 1)); }), HasSubstr("takes samples of 6, got 7"));
  EXPECT_EQ(executor.run(Tensor(Shape{0, 6})).shape(), (Shape{0, 6}));
  // Extents of 1 come and go, and axes are flattened; nothing else.
  Network image;
  image.output(image.node("Relu", {image.input({-1, 1, 2, 3})}));
  const Executor matrix(image.graph);
  EXPECT_EQ(matrix.run(random_tensor({4, 2, 3}, 1)).shape(), (Shape{4, 1, 2, 3}));
  for (const Shape& other : {Shape{4, 3, 2}, Shape{4, 6}, Shape{4, 1, 3, 2}})
    EXPECT_THAT(message_of([&] { matrix.run(random_tensor(other, 1)); }), HasSubstr("takes samples of 1x2x3, got"));
}

TEST(Executor, NanIsTracedToItsOrigin) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId y = net.node("Log", {net.node("Relu", {x}, {}, "first")}, {}, "second");
  net.output(net.node("Sub", {y, y}, {}, "third"));
  const Executor executor(net.graph);
  EXPECT_THAT(message_of([&] { executor.run(test::tensor({1, 4}, {1, -1, 2, 3})); }), HasSubstr("'third'"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message_of([&] {
                executor.run(test::tensor({2, 4}, {1, 1, 2, 3, 1, 1, nan, 1}),
                             {.first_sample = 5, .parallel = {}, .overrides = nullptr, .observer = {}});
              }),
              HasSubstr("sample 6"));
}

TEST(Executor, NotFiniteWeightsAreRefused) {
  Graph graph = test::small_cnn();
  for (Value& value : graph.values)
    if (value.name == "fc.weight") std::get<Tensor>(*value.constant).data()[3] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of([&] { Executor{graph}; }), HasSubstr("'fc'"));
}

TEST(Executor, VariableWeightsAreRefusedWithAReason) {
  Network net(BatchMode::none);
  const ValueId x = net.input({1, 1, 4, 4});
  net.output(net.node("Conv", {x, net.node("Relu", {x})}));
  const Executor executor(net.graph);
  EXPECT_THAT(message_of([&] { executor.run(random_tensor({1, 1, 4, 4}, 1)); }), HasSubstr("not constant"));
}

TEST(Executor, FreeExtentsFollowTheData) {
  Network net;
  const ValueId x = net.input({-1, 1, -1, -1});
  net.output(net.node("Conv", {x, net.constant(random_tensor({2, 1, 3, 3}, 1))}));
  const Executor executor(net.graph);
  EXPECT_EQ(executor.run(random_tensor({2, 1, 5, 6}, 1)).shape(), (Shape{2, 2, 3, 4}));
  EXPECT_EQ(executor.run(random_tensor({1, 1, 9, 4}, 1)).shape(), (Shape{1, 2, 7, 2}));
  EXPECT_THROW(static_cast<void>(executor.output_shapes(1)), InputError);
  const Executor fixed(net.graph, {.sample_shapes = {{1, 5, 6}}});
  EXPECT_EQ(fixed.output_shapes(4)[0], (Shape{4, 2, 3, 4}));
}

TEST(Executor, WholeNumbersAreAskedForWhereInputsAreIntegers) {
  Network net;
  const ValueId x = net.input({-1, 2}, ElementType::int64);
  net.output(net.node("Gather", {net.constant(random_tensor({5, 3}, 1)), x}));
  const Executor executor(net.graph);
  EXPECT_EQ(executor.run(test::tensor({2, 2}, {0, 4, -1, 2})).shape(), (Shape{2, 2, 3}));
  EXPECT_THAT(message_of([&] { executor.run(test::tensor({1, 2}, {0.5F, 1})); }), HasSubstr("takes integers"));
  EXPECT_THAT(message_of([&] { executor.run(test::tensor({1, 2}, {5, 1})); }), HasSubstr("out of range"));
}

}  // namespace
}  // namespace tessera::nn
