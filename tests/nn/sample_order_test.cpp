// Question: do layers and callers see the same samples in the same order, wherever in a batch the samples lie and however
// the batch is cut?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "network.hpp"
#include "tessera/nn/batching.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/nn/sample_axis.hpp"

namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using ::testing::HasSubstr;

using Integers = std::vector<std::int64_t>;

/// y = W x + 1e-3 * (number of the vector mod 4096): shows which vector is which.
class Numbering final : public LinearOperator {
 public:
  explicit Numbering(const LinearPart& part) : weight_(part.weight.matrix()) {}
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel) const override {
    for (std::int64_t r = 0; r < x.rows; ++r)
      for (std::int64_t o = 0; o < y.cols; ++o) {
        double sum = 0.0;
        for (std::int64_t k = 0; k < x.cols; ++k) sum += double{x(r, k)} * double{weight_(o, k)};
        const std::uint64_t number = first_vector + static_cast<std::uint64_t>(r);
        y(r, o) = static_cast<float>(sum + 1e-3 * static_cast<double>(number % 4096 + (number >> 32U) % 64));
        seen_ += 1;
      }
  }
  std::int64_t seen() const { return seen_; }

 private:
  Matrix weight_;
  mutable std::atomic<std::int64_t> seen_ = 0;
};

/// Sequence-first, merged and recurrent layers.
Graph wandering(std::int64_t batch) {
  Network net;
  const ValueId x = net.input({batch, 5, 4});
  const ValueId first = net.node("Transpose", {x}, {{"perm", Integers{1, 0, 2}}});
  const ValueId dense = net.node("MatMul", {first, net.constant(random_tensor({4, 4}, 1, 0.4F))}, {}, "sequence");
  const ValueId merged = net.node("Reshape", {dense, net.integers({-1, 4})});
  const ValueId rows = net.node("MatMul", {merged, net.constant(random_tensor({4, 4}, 2, 0.4F))}, {}, "merged");
  const ValueId image = net.node("Unsqueeze", {rows, net.integers({1})});
  const ValueId conv = net.node("Conv", {image, net.constant(random_tensor({2, 1, 3}, 3, 0.4F))}, {}, "conv");
  const ValueId back = net.node("Reshape", {conv, net.integers({5, batch > 0 ? batch : -1, 4})});
  const auto lstm = net.nodes(
      "LSTM",
      {back, net.constant(random_tensor({1, 12, 4}, 4, 0.4F)), net.constant(random_tensor({1, 12, 3}, 5, 0.4F))}, 1,
      {{"hidden_size", std::int64_t{3}}}, "lstm");
  net.output(lstm[0]);
  return net.graph;
}

std::vector<std::vector<float>> run_in_pieces(const Executor& executor, const Tensor& data, std::int64_t batch,
                                              int threads) {
  std::vector<std::unique_ptr<Numbering>> numberings;
  LinearOverrides overrides;
  for (const LinearLayer& layer : executor.layers()) {
    overrides.emplace_back();
    for (const LinearPart& part : layer.parts) {
      numberings.push_back(std::make_unique<Numbering>(part));
      overrides.back().push_back(numberings.back().get());
    }
  }
  std::vector<std::vector<float>> seen(executor.layers().size() + 1);
  const std::int64_t count = data.dim(0), each = data.size() / count;
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t samples = std::min(batch, count - first);
    RunOptions options{
        .first_sample = static_cast<std::uint64_t>(first), .parallel = {threads}, .overrides = &overrides};
    options.observer = [&](const LinearRecord& record) {
      const Tensor output = samples_first(record.output);
      EXPECT_EQ(output.dim(0), samples);
      EXPECT_EQ(samples_first(record.input).dim(0), samples);
      seen[record.layer].insert(seen[record.layer].end(), output.values().begin(), output.values().end());
      const Activation alone =
          executor.apply_linear(record.layer, overrides[record.layer], record.input, options.first_sample, {threads});
      EXPECT_TRUE(std::ranges::equal(alone.values.values(), record.output.values.values())) << record.layer;
    };
    Shape shape = data.shape();
    shape[0] = samples;
    const Tensor part(
        shape, data.values().subspan(static_cast<std::size_t>(first * each), static_cast<std::size_t>(samples * each)));
    const Tensor output = executor.run(part, options);
    EXPECT_EQ(output.dim(0), samples);
    seen.back().insert(seen.back().end(), output.values().begin(), output.values().end());
    options.observer = {};
    EXPECT_TRUE(std::ranges::equal(executor.run(part, options).values(), output.values()));
  }
  return seen;
}

TEST(SampleAxis, LayersSeeTheSameSamplesHoweverTheyAreCut) {
  const Tensor data = random_tensor({7, 5, 4}, 9);
  const Executor free(wandering(-1));
  const auto expected = run_in_pieces(free, data, 1, 1);
  EXPECT_EQ(expected.back().size(), 7U * 5U * 3U);
  for (const std::int64_t batch : {2, 3, 7})
    for (const int threads : {1, 2}) EXPECT_EQ(run_in_pieces(free, data, batch, threads), expected) << batch;
}

TEST(SampleAxis, AFixedBatchGivesWhatAFreeOneGives) {
  const Tensor data = random_tensor({7, 5, 4}, 9);
  const auto expected = run_in_pieces(Executor(wandering(-1)), data, 7, 1);
  for (const std::int64_t fixed : {2, 4, 7, 9}) {
    Graph graph = wandering(fixed);
    simplify(graph, {});
    ASSERT_EQ(graph.batch, BatchMode::fixed);
    ASSERT_EQ(graph.samples_at_a_time, fixed);
    const Executor executor(graph);
    EXPECT_EQ(executor.output_shapes(3)[0], (Shape{3, 5, 1, 3}));
    for (const std::int64_t batch : {1, 3, 7}) EXPECT_EQ(run_in_pieces(executor, data, batch, 2), expected) << fixed;
  }
}

TEST(SampleAxis, WhatFillsUpAFixedBatchIsNotSeenByOperators) {
  Network net;
  net.output(net.node("MatMul", {net.input({4, 3}), net.constant(random_tensor({3, 2}, 1))}));
  simplify(net.graph, {});
  const Executor executor(net.graph);
  const Numbering numbering(executor.layers()[0].parts[0]);
  const LinearOverrides overrides = {{&numbering}};
  executor.run(random_tensor({6, 3}, 2), {.overrides = &overrides});
  EXPECT_EQ(numbering.seen(), 6 * 2);
}

TEST(SampleAxis, TheBatchMayBeAnotherFreeAxisOfTheInput) {
  const auto recurrent = [](Shape input) {
    Network net;
    const auto lstm = net.nodes("GRU",
                                {net.input(std::move(input)), net.constant(random_tensor({1, 6, 4}, 4, 0.4F)),
                                 net.constant(random_tensor({1, 6, 2}, 5, 0.4F))},
                                1, {{"hidden_size", std::int64_t{2}}}, "gru");
    net.output(lstm[0]);
    return net.graph;
  };
  std::vector<std::string> notes;
  const Environment environment{
      .message = [&](Severity, const std::string& text) { notes.push_back(text); }, .progress = {}, .cancel = nullptr};
  for (const Shape& input : {Shape{5, -1, 4}, Shape{-1, -1, 4}}) {
    Graph graph = recurrent(input);
    simplify(graph, environment);
    EXPECT_EQ(graph.batch, BatchMode::any);
    EXPECT_EQ(graph.inputs[0].shape.front(), -1);
    EXPECT_THAT(notes.back(), HasSubstr("input 'x' holds the samples along its axis 1"));
    const Executor executor(graph, {.sample_shapes = {{5, 4}}});
    const Tensor data = random_tensor({3, 5, 4}, 1);
    EXPECT_EQ(executor.run(data).shape(), (Shape{3, 5, 1, 2}));
  }
}

TEST(SampleAxis, ASampleMayBeTheWholeInput) {
  Network net;
  net.output(net.node("MatMul", {net.input({4, 3}), net.constant(random_tensor({3, 2}, 1))}));
  simplify(net.graph, {});
  Graph batch = net.graph, whole = net.graph;
  fit_batch(batch, {3});
  EXPECT_EQ(batch.samples_at_a_time, 4);
  fit_batch(whole, {4, 3});
  EXPECT_EQ(whole.samples_at_a_time, 1);
  EXPECT_EQ(whole.inputs[0].shape, (Shape{1, 4, 3}));
  const Tensor data = random_tensor({2, 4, 3}, 3);
  const Tensor a = Executor(whole).run(data);
  EXPECT_EQ(a.shape(), (Shape{2, 4, 2}));
  const Tensor b = Executor(batch).run(Tensor({8, 3}, data.values()));
  EXPECT_TRUE(std::ranges::equal(a.values(), b.values()));
}

}  // namespace
}  // namespace tessera::nn
