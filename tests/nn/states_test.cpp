// Are several inputs packed into one, and states fed back, without a change of any number?
#include <gmock/gmock.h>

#include "network.hpp"
#include "tessera/nn/packing.hpp"
#include "tessera/nn/states.hpp"

namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using testing::HasSubstr;

/// y = W [a; gather(table, i); c] + state, of inputs a [N, 3], i [N, 2] (integers) and c [N, 2, 1].
Graph three_inputs() {
  Network net;
  const ValueId a = net.input({-1, 3}, ElementType::float32, "a");
  const ValueId i = net.input({-1, 2}, ElementType::int64, "i");
  const ValueId c = net.input({-1, 2, 1}, ElementType::float32, "c");
  const ValueId rows = net.node("Flatten", {net.node("Gather", {net.constant(random_tensor({5, 2}, 1)), i})});
  const ValueId all = net.node("Concat", {a, rows, net.node("Flatten", {c})}, {{"axis", std::int64_t{1}}});
  net.output(net.node("Gemm", {all, net.constant(random_tensor({9, 4}, 2))}, {}, "fc"));
  return net.graph;
}

TEST(PackingTest, OneInputGivesWhatSeveralGive) {
  const Tensor a = random_tensor({6, 3}, 3);
  const Tensor i({6, 2}, std::vector<float>{0, 1, 2, 3, 4, 0, 1, 1, 3, 2, 0, 4});
  Tensor c({6, 2, 1});
  std::ranges::fill(c.values(), 0.75F);
  const Tensor inputs[] = {a, i, c};
  const Tensor expected = Executor(three_inputs()).run(inputs).front();
  Graph packed = three_inputs();
  pack_inputs(packed, {{.input = 1, .sample = {2}, .offset = 0}, {.input = 0, .sample = {3}, .offset = 2}},
              {{.input = 2, .sample = {2, 1}, .value = 0.75}}, 5);
  ASSERT_EQ(packed.inputs.size(), 1U);
  Tensor samples({6, 5});
  for (std::int64_t n = 0; n < 6; ++n) {
    for (std::int64_t d = 0; d < 2; ++d) samples.data()[n * 5 + d] = i.data()[n * 2 + d];
    for (std::int64_t d = 0; d < 3; ++d) samples.data()[n * 5 + 2 + d] = a.data()[n * 3 + d];
  }
  const Executor executor(packed);
  EXPECT_TRUE(executor.samples_of(packed.outputs[0]).leads()) << "the samples are still proven apart";
  EXPECT_TRUE(std::ranges::equal(executor.run(samples).values(), expected.values()));
}

TEST(PackingTest, AnInputWithoutABatchBecomesAConstant) {
  Network net;
  const ValueId x = net.input({-1, 2});
  net.graph.inputs.push_back(
      {.value = net.graph.add_value("gain"), .type = ElementType::float32, .shape = {}, .batched = false});
  net.output(net.node("Mul", {x, net.graph.inputs.back().value}));
  Graph graph = net.graph;
  fill_input(graph, 1, 2.5);
  ASSERT_EQ(graph.inputs.size(), 1U);
  const Tensor y = Executor(graph).run(test::tensor({1, 2}, {1, -2}));
  EXPECT_TRUE(std::ranges::equal(y.values(), std::vector<float>{2.5F, -5.0F}));
}

/// y = tanh(W x + U state), next = y: a cell by hand.
Graph cell(Shape state_shape = {-1, 3}) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId state = net.input(std::move(state_shape), ElementType::float32, "state");
  const ValueId wx = net.node("Gemm", {x, net.constant(random_tensor({4, 3}, 5))}, {}, "w");
  const ValueId us = net.node("Gemm", {state, net.constant(random_tensor({3, 3}, 6))}, {}, "u");
  const ValueId y = net.node("Tanh", {net.node("Add", {wx, us})});
  net.output(y);
  net.graph.values[static_cast<std::size_t>(y)].name = "next";
  return net.graph;
}

Tensor step_by_step(const Tensor& x, const Tensor& initial, std::int64_t length) {
  const Executor executor(cell());
  Tensor all({x.dim(0), 3});
  Tensor state = initial;
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    if (n % length == 0) state = initial;
    const Tensor inputs[] = {Tensor({1, 4}, x.values().subspan(static_cast<std::size_t>(4 * n), 4)), state};
    state = executor.run(inputs).front();
    std::ranges::copy(state.values(), all.data() + 3 * n);
  }
  return all;
}

Executor carried(const Tensor& initial, std::vector<std::int64_t> starts) {
  Graph graph = cell();
  carry_states(graph, {{"next", "state", initial}});
  ExecutorOptions options;
  options.sequence_starts = std::make_shared<const std::vector<std::int64_t>>(std::move(starts));
  return Executor(std::move(graph), std::move(options));
}

TEST(StatesTest, SequencesGoOnFromSampleToSample) {
  const Tensor x = random_tensor({12, 4}, 7), initial = random_tensor({1, 3}, 8);
  const Tensor expected = step_by_step(x, initial, 4);
  const Executor executor = carried(initial, {0, 4, 8});
  for (const int threads : {1, 2}) {
    EXPECT_TRUE(std::ranges::equal(executor.run(x, {.parallel = {threads}}).values(), expected.values()));
    std::vector<Tensor> seen(2);
    const Tensor observed = executor.run(x, {.parallel = {threads}, .observer = [&](const LinearRecord& record) {
                                               EXPECT_EQ(record.output.values.dim(0), 12)
                                                   << "all samples at once, in their order";
                                               seen[record.layer] = to_natural(record.input);
                                             }});
    EXPECT_TRUE(std::ranges::equal(observed.values(), expected.values()));
    EXPECT_TRUE(std::ranges::equal(seen[0].values(), x.values()));
    // The state of the second sample of a sequence is what the first gave.
    EXPECT_TRUE(std::ranges::equal(seen[1].values().subspan(15, 3), expected.values().subspan(12, 3)));
    EXPECT_TRUE(std::ranges::equal(seen[1].values().subspan(12, 3), initial.values()));
  }
  // The last two sequences alone, with their numbers.
  const Tensor part({8, 4}, x.values().subspan(16));
  EXPECT_TRUE(std::ranges::equal(executor.run(part, {.first_sample = 4}).values(), expected.values().subspan(12)));
  EXPECT_THROW(executor.run(part, {.first_sample = 2}), InputError);
}

TEST(StatesTest, WhatDoesNotFitIsNamed) {
  const auto message = [](const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto carry = [](const std::vector<StateLink>& links, Shape state_shape = {-1, 3}) {
    Graph graph = cell(std::move(state_shape));
    carry_states(graph, links);
    return Executor(std::move(graph));
  };
  EXPECT_THAT(message([&] { carry({{"nxt", "state", {}}}); }), HasSubstr("did you mean 'next'"));
  EXPECT_THAT(message([&] { carry({{"next", "stat", {}}}); }), HasSubstr("state (Nx3)"));
  EXPECT_THAT(message([&] { carry({{"next", "state", {}}, {"next", "x", {}}}); }), HasSubstr("given twice"));
  EXPECT_THAT(message([&] { carry({{"next", "state", random_tensor({1, 4}, 1)}}); }), HasSubstr("1x4"));
  EXPECT_THAT(message([&] {
                carry({{"next", "x", {}}});
              }),
              testing::AllOf(HasSubstr("'next' of shape 1x3"), HasSubstr("'x', which takes 1x4")));
}

}  // namespace
}  // namespace tessera::nn
