#include "tessera/nn/batching.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network.hpp"
#include "tessera/nn/passes.hpp"

// Question: is the batch rule applied only where it is right?
namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using testing::HasSubstr;

struct Notes {
  std::vector<std::string> texts;
  Environment environment() {
    return {.message = [this](Severity, const std::string& text) { texts.push_back(text); },
            .progress = {},
            .cancel = nullptr};
  }
};

TEST(Batching, FixedBatchOfOneBecomesFree) {
  Network net;
  const ValueId x = net.input({1, 3, 4, 4});
  const ValueId y = net.node("Reshape", {net.node("Relu", {x}), net.integers({1, 48})});
  net.output(net.node("Gemm", {y, net.constant(random_tensor({48, 2}, 1))}));
  Notes notes;
  simplify(net.graph, notes.environment());
  EXPECT_EQ(net.graph.batch, BatchMode::any);
  EXPECT_EQ(net.graph.inputs[0].shape, (Shape{-1, 3, 4, 4}));
  EXPECT_TRUE(notes.texts.empty());
  EXPECT_EQ(Executor(net.graph).run(random_tensor({5, 3, 4, 4}, 2)).shape(), (Shape{5, 2}));
}

// Where 0 means an extent of 0 (allowzero), the batch is what is left over.
TEST(Batching, ATargetThatMayNotCopyInfersTheBatch) {
  Network net;
  net.output(net.node("Reshape", {net.input({1, 2, 4}), net.integers({1, 8})}, {{"allowzero", std::int64_t{1}}}));
  simplify(net.graph, {});
  EXPECT_EQ(net.graph.batch, BatchMode::any);
  EXPECT_EQ(Executor(net.graph).run(random_tensor({5, 2, 4}, 2)).shape(), (Shape{5, 8}));
}

/// A graph that was exported for one sample and mixes what it is given along the batch takes one sample at a time.
void expect_one_at_a_time(Network net, const char* reason) {
  Notes notes;
  const Tensor in = random_tensor({3, 2, 4}, 2);
  simplify(net.graph, notes.environment());
  EXPECT_EQ(net.graph.batch, BatchMode::fixed);
  EXPECT_EQ(net.graph.samples_at_a_time, 1);
  ASSERT_EQ(notes.texts.size(), 1U);
  EXPECT_THAT(notes.texts[0], HasSubstr(reason));
  EXPECT_THAT(notes.texts[0], HasSubstr("one sample at a time, as it was exported"));
  const Executor executor(net.graph);
  const Tensor all = executor.run(in, {.parallel = {2}});
  EXPECT_EQ(all.dim(0), 3);
  const Tensor last = executor.run(Tensor({1, 2, 4}, in.values().subspan(16)));
  for (std::int64_t i = 0; i < last.size(); ++i) EXPECT_EQ(all.data()[2 * last.size() + i], last.data()[i]);
}

Network softmax_over_the_batch(std::int64_t batch) {
  Network net;
  net.output(net.node("Softmax", {net.input({batch, 2, 4})}, {{"axis", std::int64_t{0}}}, "mix"));
  return net;
}

Network mean_over_the_batch(std::int64_t batch) {
  Network net;
  const ValueId x = net.input({batch, 2, 4});
  net.output(net.node("Sub", {x, net.node("ReduceMean", {x, net.integers({0})}, {}, "mix")}));
  return net;
}

Network constant_of_a_batch(std::int64_t batch) {
  Network net;
  const ValueId x = net.input({batch, 2, 4});
  net.output(net.node("Concat", {x, net.constant(random_tensor({1, 1, 4}, 1))}, {{"axis", std::int64_t{1}}}, "mix"));
  return net;
}

TEST(Batching, WhatMixesSamplesTakesOneAtATimeIfItWasExportedSo) {
  expect_one_at_a_time(softmax_over_the_batch(1), "node 'mix' (Softmax) mixes the samples of a batch");
  expect_one_at_a_time(mean_over_the_batch(1), "node 'mix' (ReduceMean) mixes the samples of a batch");
  expect_one_at_a_time(constant_of_a_batch(1), "differ outside axis");
}

TEST(Batching, WhatMixesSamplesIsRefusedWithAFreeBatch) {
  for (Network net : {softmax_over_the_batch(-1), mean_over_the_batch(-1), constant_of_a_batch(-1)}) {
    try {
      simplify(net.graph, {});
      ADD_FAILURE() << "was not refused";
    } catch (const MixedSamples& error) {
      EXPECT_THAT(error.what(), HasSubstr("'mix'"));
    }
  }
}

TEST(Batching, FlatteningTheBatchKeepsSamplesApart) {
  Network net;
  net.output(net.node("Reshape", {net.input({1, 2, 4}), net.integers({-1})}));
  simplify(net.graph, {});
  EXPECT_EQ(net.graph.batch, BatchMode::any);
  const Tensor in = random_tensor({3, 2, 4}, 2);
  const Tensor out = Executor(net.graph).run(in);
  EXPECT_EQ(out.shape(), (Shape{3, 8}));
  EXPECT_TRUE(std::ranges::equal(out.values(), in.values()));
}

// Heads of attention as exporters write them: [1, 2, 4] becomes [2 heads, 2, 2] and [1, 2 heads, 2, 2] again.
TEST(Batching, HeadsBehindTheBatchAreSetFreeWithIt) {
  const auto heads = [](std::int64_t first) {
    Network net;
    const ValueId apart = net.node("Reshape", {net.input({1, 2, 4}), net.integers({first, 2, 2})});
    net.output(net.node("Reshape", {net.node("Relu", {apart}), net.integers({1, 2, 2, 2})}));
    return net;
  };
  Network free = heads(-1);
  simplify(free.graph, {});
  EXPECT_EQ(free.graph.batch, BatchMode::any);
  const Tensor in = random_tensor({3, 2, 4}, 2);
  EXPECT_EQ(Executor(free.graph).run(in).shape(), (Shape{3, 2, 2, 2}));

  // The number of heads of one sample is fixed: no more than one fits.
  Network fixed = heads(2);
  simplify(fixed.graph, {});
  EXPECT_EQ(fixed.graph.samples_at_a_time, 1);
  const Tensor together = Executor(free.graph).run(in), alone = Executor(fixed.graph).run(in);
  EXPECT_TRUE(std::ranges::equal(alone.values(), together.values()));
}

TEST(Batching, WhatDoesNotFitForOneSampleIsAnError) {
  Network net;
  net.output(net.node("Reshape", {net.input({1, 2, 4}), net.integers({1, 9})}));
  EXPECT_THROW(simplify(net.graph, {}), InputError);
}

TEST(Batching, ObserversOfSingleSamplesSeeTheWholeBatch) {
  Network net;
  const ValueId x = net.input({1, 2, 4});
  const ValueId y = net.node("MatMul", {x, net.constant(random_tensor({4, 3}, 1))}, {}, "fc");
  net.output(net.node("ReduceMean", {y, net.integers({0})}, {{"keepdims", std::int64_t{0}}}));
  simplify(net.graph, {});
  ASSERT_EQ(net.graph.batch, BatchMode::fixed);
  const Executor executor(net.graph);
  int calls = 0;
  RunOptions options;
  options.observer = [&](const LinearRecord& record) {
    ++calls;
    EXPECT_EQ(record.input.values.shape(), (Shape{3, 2, 4}));
    EXPECT_EQ(record.output.values.shape(), (Shape{3, 2, 3}));
    const Activation alone = executor.apply_linear(0, {}, record.input, 0, {});
    for (std::int64_t i = 0; i < 18; ++i) EXPECT_EQ(alone.values.data()[i], record.output.values.data()[i]);
  };
  EXPECT_EQ(executor.run(random_tensor({3, 2, 4}, 2), options).shape(), (Shape{3, 2, 3}));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace tessera::nn
