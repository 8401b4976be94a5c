#include "tessera/nn/sample_axis.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>

#include "network.hpp"
#include "nn/operator.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using ::testing::HasSubstr;

using Integers = std::vector<std::int64_t>;

SampleAxis axis_of(const Network& net, ValueId id) {
  return prove_samples(net.graph)[static_cast<std::size_t>(id)];
}

template <class Error = MixedSamples>
std::string refusal(const Network& net) {
  try {
    prove_samples(net.graph);
  } catch (const Error& error) {
    return error.what();
  }
  return "was proven";
}

TEST(SampleAxis, EveryOperatorHasARule) {
  for (const Operator& op : all_operators())
    EXPECT_TRUE(has_sample_rule(op.name)) << op.name << ": say in sample_rules.cpp what it does to samples";
}

TEST(SampleAxis, SamplesAreGatheredFromAnyPlace) {
  // [2, 3 samples * 2, 2]: sample n has entries 2n and 2n + 1 of axis 1.
  Tensor value({2, 6, 2});
  for (std::int64_t i = 0; i < value.size(); ++i) value.data()[i] = static_cast<float>(i);
  const SampleAxis samples{1, 1, 2};
  const Tensor first = samples_first(samples, value);
  EXPECT_EQ(first.shape(), (Shape{3, 2, 2, 2}));
  EXPECT_EQ(std::vector<float>(first.data() + 8, first.data() + 16), (std::vector<float>{4, 5, 6, 7, 16, 17, 18, 19}));
  Tensor back({2, 6, 2});
  scatter_samples(sample_blocks(samples, back.shape()), first.data(), back.data());
  EXPECT_TRUE(std::ranges::equal(back.values(), value.values()));
  EXPECT_EQ(samples_first(SampleAxis{0, 3, 1}, Tensor({6, 4})).shape(), (Shape{2, 3, 4}));
}

TEST(SampleAxis, FollowsShapes) {
  Network net;
  const ValueId x = net.input({-1, 5, 4});
  const ValueId merged = net.node("Reshape", {x, net.integers({-1, 4})});
  EXPECT_EQ(axis_of(net, merged), (SampleAxis{0, 1, 5}));
  const ValueId first = net.node("Transpose", {x}, {{"perm", Integers{1, 0, 2}}});
  EXPECT_EQ(axis_of(net, first), (SampleAxis{1, 1, 1}));
  const ValueId steps = net.node("Reshape", {first, net.integers({-1, 4})});
  EXPECT_EQ(axis_of(net, steps), (SampleAxis{0, 5, 1}));
  const ValueId again = net.node("Reshape", {steps, net.integers({5, -1, 4})});
  EXPECT_EQ(axis_of(net, again), (SampleAxis{1, 1, 1}));
  const ValueId heads = net.node("Reshape", {first, net.integers({5, -1, 2})});
  EXPECT_EQ(axis_of(net, heads), (SampleAxis{1, 1, 2}));
  const ValueId by_head = net.node("Transpose", {heads}, {{"perm", Integers{1, 0, 2}}});
  EXPECT_EQ(axis_of(net, by_head), (SampleAxis{0, 1, 2}));
  const ValueId twice = net.node("Tile", {x, net.integers({2, 1, 1})});
  EXPECT_EQ(axis_of(net, twice), (SampleAxis{0, 2, 1}));
  const ValueId both = net.node("Concat", {twice, x}, {{"axis", std::int64_t{0}}});
  EXPECT_EQ(axis_of(net, both), (SampleAxis{0, 3, 1}));
  const ValueId last = net.node("Gather", {again, net.integer_tensor({{}, {4}})});
  EXPECT_EQ(axis_of(net, last), (SampleAxis{0, 1, 1}));
  const ValueId scores = net.node("MatMul", {first, net.node("Transpose", {first}, {{"perm", Integers{0, 2, 1}}})});
  static_cast<void>(scores);
  EXPECT_THAT(refusal(net), HasSubstr("multiplies samples with each other"));
}

TEST(SampleAxis, NamesWhatMixesSamples) {
  const auto refused = [](const std::string& op, Integers integers, std::map<std::string, Attribute> attributes = {}) {
    Network net;
    std::vector<ValueId> in = {net.input({-1, 5, 4})};
    if (!integers.empty()) in.push_back(net.integers(std::move(integers)));
    net.node(op, in, std::move(attributes), "bad");
    return refusal(net);
  };
  const auto axis = [](std::int64_t a) { return std::map<std::string, Attribute>{{"axis", a}}; };
  EXPECT_THAT(refused("ReduceMean", {0}), HasSubstr("node 'bad' (ReduceMean) mixes the samples of a batch"));
  EXPECT_THAT(refused("ReduceMax", {-3, 2}), HasSubstr("'bad'"));
  EXPECT_THAT(refused("ReduceSum", {}), HasSubstr("'bad'"));
  EXPECT_THAT(refused("Softmax", {}, axis(0)), HasSubstr("'bad'"));
  EXPECT_THAT(refused("ArgMax", {}, axis(0)), HasSubstr("'bad'"));
  EXPECT_THAT(refused("CumSum", {0}), HasSubstr("'bad'"));
  EXPECT_THAT(refused("Reshape", {5, -1}), HasSubstr("cut across samples"));
  EXPECT_THAT(refused("Gather", {0}, axis(0)), HasSubstr("'bad'"));
  EXPECT_THAT(refused("Gather", {1, 0}, axis(0)), HasSubstr("'bad'"));
  EXPECT_THAT(refused("Einsum", {}, {{"equation", std::string("nij->ij")}}), HasSubstr("sums over the samples"));
  EXPECT_THAT(refused("Compress", {1, 1}, axis(0)), HasSubstr("'bad'"));
  EXPECT_THAT(refused("MaxPoolIndices", {}, {{"kernel_shape", Integers{2}}}), HasSubstr("over the whole batch"));
  EXPECT_EQ(refused("Compress", {1, 1}, axis(1)), "was proven");
  EXPECT_EQ(refused("ReduceMean", {1}), "was proven");
  EXPECT_EQ(refused("Gather", {1, 0}, axis(1)), "was proven");
}

TEST(SampleAxis, ConstantsWithABatchExtent) {
  const auto of = [](Tensor constant) {
    Network net;
    net.graph.batch = BatchMode::fixed;
    net.graph.samples_at_a_time = 3;
    net.node("Add", {net.input({3, 2}), net.constant(std::move(constant), "offsets")}, {}, "bad");
    return refusal(net);
  };
  EXPECT_EQ(of(Tensor({3, 2}, std::vector<float>{1, 2, 1, 2, 1, 2})), "was proven");
  EXPECT_THAT(of(Tensor({3, 2}, std::vector<float>{1, 2, 1, 2, 1, 3})), HasSubstr("'offsets' of shape 3x2"));
  Network free;
  free.node("Add", {free.input({-1, 2}), free.constant(random_tensor({6, 2}, 1))}, {}, "bad");
  EXPECT_THAT(refusal(free), HasSubstr("node 'bad' (Add)"));
}

TEST(SampleAxis, TheNumberOfSamplesIsNoValue) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId count = net.node("Cast", {net.node("Gather", {net.node("Shape", {x}), net.integers({0})})},
                                 {{"to", std::int64_t{1}}}, "count");
  net.node("Div", {x, count}, {}, "bad");
  EXPECT_THAT(refusal(net), HasSubstr("'bad'"));
}

TEST(SampleAxis, StatesThatGrowWithTheBatchAreTheSameForEachSample) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId batch = net.node("Gather", {net.node("Shape", {x}), net.integers({0})});
  const ValueId shape = net.node("Concat", {batch, net.integers({3})}, {{"axis", std::int64_t{0}}});
  const ValueId token = net.node("Expand", {net.constant(random_tensor({1, 3}, 2)), shape});
  const ValueId joined = net.node("Concat", {token, x}, {{"axis", std::int64_t{1}}});
  EXPECT_EQ(axis_of(net, joined), (SampleAxis{0, 1, 1}));
  const ValueId numbers =
      net.node("Range", {net.integer_tensor({{}, {0}}), net.node("Squeeze", {batch}), net.integer_tensor({{}, {1}})});
  const ValueId column =
      net.node("Unsqueeze", {net.node("Cast", {numbers}, {{"to", std::int64_t{1}}}), net.integers({1})});
  net.node("Add", {x, column}, {}, "bad");
  EXPECT_THAT(refusal(net), HasSubstr("differs from sample to sample"));
}

TEST(SampleAxis, AnAxisOfOneThatIsDroppedMayBeTheBatch) {
  Network net;
  net.node("Squeeze", {net.input({-1, 1, 4})}, {}, "squeeze");
  EXPECT_THAT(refusal<UnprovenSamples>(net), HasSubstr("'squeeze'"));
}

// --- the proof against evaluation ------------------------------------------------------------------------------------

/// Evaluates a network of one node on three samples at once and one by one.
void expect_apart(const std::function<ValueId(Network&, ValueId)>& build) {
  Network net;
  net.output(build(net, net.input({-1, 2, 6})));
  const Tensor batch = random_tensor({3, 2, 6}, 31);
  const Tensor together = Executor(net.graph).run(batch);
  Graph single = net.graph;
  single.batch = BatchMode::none;
  single.inputs[0].batched = false;
  const std::int64_t each = together.size() / 3;
  for (std::int64_t n = 0; n < 3; ++n) {
    const Tensor alone =
        Executor(single).run(Tensor({1, 2, 6}, batch.values().subspan(static_cast<std::size_t>(n * 12), 12)));
    ASSERT_EQ(alone.size(), each);
    for (std::int64_t i = 0; i < each; ++i) ASSERT_EQ(together.data()[n * each + i], alone.data()[i]) << n;
  }
}

TEST(SampleAxis, PickingAndSummingKeepSamplesApart) {
  const auto turned = [](Network& net, ValueId x) { return net.node("Transpose", {x}, {{"perm", Integers{1, 0, 2}}}); };
  const auto volume = [](Network& net, ValueId x) { return net.node("Reshape", {x, net.integers({-1, 1, 4, 1, 3})}); };
  const std::map<std::string, Attribute> window{
      {"kernel_shape", Integers{2}}, {"strides", Integers{1}}, {"pads", Integers{0, 0}}, {"dilations", Integers{1}}};
  const auto equation = [](const char* text) {
    return std::map<std::string, Attribute>{{"equation", std::string(text)}};
  };
  expect_apart([&](Network& net, ValueId x) {
    return net.node("Einsum", {turned(net, x), turned(net, x)}, equation("inc,jnc->inj"));
  });
  expect_apart([&](Network& net, ValueId x) {
    return net.node("Einsum", {x, net.constant(random_tensor({6, 4}, 5))}, equation("...i,io->...o"));
  });
  expect_apart([&](Network& net, ValueId x) {
    const ValueId in = volume(net, x), planes = net.node("DepthWindows", {in}, window);
    return net.node("DepthStack", {net.node("Mul", {planes, planes}), in}, window);
  });
  expect_apart([&](Network& net, ValueId x) {
    return net.node("GatherND", {turned(net, x), net.integer_tensor({{2, 1}, {1, 0}})});
  });
  expect_apart([&](Network& net, ValueId x) {
    return net.node("Compress", {x, net.integers({0, 1, 1})}, {{"axis", std::int64_t{2}}});
  });
  expect_apart([&](Network& net, ValueId x) {
    return net.node("OneHot",
                    {net.node("ArgMax", {x}, {{"axis", std::int64_t{2}}, {"keepdims", std::int64_t{0}}}),
                     net.integers({6}), net.constant(random_tensor({2}, 6))},
                    {{"axis", std::int64_t{0}}});
  });
  expect_apart([&](Network& net, ValueId x) {
    const ValueId last = net.node("Transpose", {x}, {{"perm", Integers{1, 2, 0}}});
    return net.node("ReverseSequence", {last, net.integers({4, 6})},
                    {{"batch_axis", std::int64_t{0}}, {"time_axis", std::int64_t{1}}});
  });
}

/// Draws networks of operators that move samples about, or mix them.
class RandomNetwork {
 public:
  explicit RandomNetwork(unsigned seed) : random_(seed) {
    value_ = net_.input({-1, 2, 3});
    shape_ = {7, 2, 3};  // 7 stands for the batch
    for (int i = 0; i < 5; ++i) add();
    net_.output(value_);
  }
  Network& network() { return net_; }

 private:
  std::int64_t below(std::int64_t n) { return std::uniform_int_distribution<std::int64_t>(0, n - 1)(random_); }
  std::int64_t axis() { return below(std::ssize(shape_)); }

  void infer() {
    const std::vector<ValueInfo> infos = infer_shapes(net_.graph, input_shapes(net_.graph, 7));
    shape_ = infos[static_cast<std::size_t>(value_)].shape;
  }

  void add() {
    Network before = net_;
    const ValueId old = value_;
    const Shape shape = shape_;
    try {
      value_ = draw();
      infer();
      if (shape_.empty() || element_count(shape_) > 5000) throw InputError("no use");
    } catch (const InputError&) {
      net_ = before;
      value_ = old;
      shape_ = shape;
    }
  }

  ValueId draw() {
    const std::int64_t a = axis();
    switch (below(11)) {
      case 0: {
        Integers order(shape_.size());
        std::iota(order.begin(), order.end(), std::int64_t{0});
        std::shuffle(order.begin(), order.end(), random_);
        return net_.node("Transpose", {value_}, {{"perm", order}});
      }
      case 1: {  // merges two axes that lie together
        Integers target;
        for (std::size_t d = 0; d < shape_.size(); ++d) target.push_back(shape_[d] % 7 == 0 ? -1 : shape_[d]);
        if (a + 1 >= std::ssize(shape_)) throw InputError("no use");
        const auto at = static_cast<std::size_t>(a);
        target[at] = target[at] < 0 || target[at + 1] < 0 ? -1 : target[at] * target[at + 1];
        target.erase(target.begin() + a + 1);
        return net_.node("Reshape", {value_, net_.integers(target)});
      }
      case 2: {  // takes an axis apart
        Integers target;
        for (std::int64_t d = 0; d < std::ssize(shape_); ++d) {
          const std::int64_t extent = shape_[static_cast<std::size_t>(d)];
          const std::int64_t factor = extent % 2 == 0 ? 2 : 3;
          if (d == a && extent % factor == 0) {
            target.push_back(below(2) == 0 ? factor : extent % 7 == 0 ? -1 : extent / factor);
            target.push_back(target.back() == factor ? (extent % 7 == 0 ? -1 : extent / factor) : factor);
          } else {
            target.push_back(extent % 7 == 0 ? -1 : extent);
          }
        }
        return net_.node("Reshape", {value_, net_.integers(target)});
      }
      case 3:
        return net_.node("Softmax", {value_}, {{"axis", a}});
      case 4:
        return net_.node("ReduceMean", {value_, net_.integers({a})}, {{"keepdims", below(2)}});
      case 5:
        return net_.node("Concat", {value_, net_.node("Tanh", {value_})}, {{"axis", a}});
      case 6:
        return net_.node("MatMul", {value_, net_.constant(random_tensor({shape_.back(), 3}, 5, 0.5F))});
      case 7: {
        Shape own(shape_.size(), 1);
        if (shape_[static_cast<std::size_t>(a)] % 7 != 0)
          own[static_cast<std::size_t>(a)] = shape_[static_cast<std::size_t>(a)];
        return net_.node("Mul", {value_, net_.constant(random_tensor(own, 6))});
      }
      case 8:
        return net_.node("Gather", {value_, net_.integers({1, 0})}, {{"axis", a}});
      case 9: {
        const auto parts = net_.nodes("Split", {value_}, 2, {{"axis", a}});
        return net_.node("Sub", {parts[0], parts[1]});
      }
      default:
        return net_.node("Slice", {value_, net_.integers({0}), net_.integers({2}), net_.integers({a})});
    }
  }

  std::mt19937 random_;
  Network net_;
  ValueId value_ = no_value;
  Shape shape_;
};

TEST(SampleAxis, WhatIsProvenHoldsForRandomNetworks) {
  int proven = 0, refused = 0;
  for (unsigned seed = 0; seed < 600; ++seed) {
    RandomNetwork drawn(seed);
    const Graph& graph = drawn.network().graph;
    const Tensor batch = random_tensor({5, 2, 3}, seed);
    std::vector<Tensor> together;
    try {
      const Executor executor(graph);
      together.push_back(executor.run(batch));
    } catch (const UnprovenSamples&) {
      continue;
    } catch (const InputError&) {  // mixed, or an extent of 7 or 14 was taken for a constant's
      ++refused;
      continue;
    }
    ++proven;
    // One sample alone, exactly as the graph is.
    Graph single = graph;
    single.batch = BatchMode::none;
    single.inputs[0].batched = false;
    const Executor alone(single);
    for (std::int64_t n = 0; n < 5; ++n) {
      const Tensor expected = alone.run(Tensor({1, 2, 3}, batch.values().subspan(static_cast<std::size_t>(n * 6), 6)));
      const std::int64_t each = together[0].size() / 5;
      ASSERT_EQ(expected.size(), each) << "seed " << seed;
      for (std::int64_t i = 0; i < each; ++i)
        ASSERT_EQ(together[0].data()[n * each + i], expected.data()[i]) << "seed " << seed << ", sample " << n;
    }
  }
  EXPECT_GT(proven, 150);
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace tessera::nn
