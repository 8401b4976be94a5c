#include "tessera/sim/network_input.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::sim {
namespace {

using testing::HasSubstr;

nn::Graph network_of(Shape input) {
  nn::Graph graph;
  graph.inputs.push_back({.value = graph.add_value("x"), .shape = std::move(input)});
  return graph;
}

/// The shape that a sample of `data` gets, or what is said instead.
std::string fitted(const Shape& data, const Shape& network) {
  Shape batch = data, input = network;
  batch.insert(batch.begin(), 2);
  input.insert(input.begin(), -1);
  try {
    return to_string(fitted_sample_shape(network_of(input), io::DataSet(Tensor(batch))));
  } catch (const InputError& error) {
    return error.what();
  }
}

TEST(NetworkInput, ExtentsOfOneAndFlatteningAreFree) {
  EXPECT_EQ(fitted({1, 28, 28}, {784}), "784");
  EXPECT_EQ(fitted({28, 28}, {1, 28, 28}), "1x28x28");
  EXPECT_EQ(fitted({1, 28, 28}, {28, 28, 1}), "28x28x1");
  EXPECT_EQ(fitted({5}, {5, 1, 1}), "5x1x1");
  EXPECT_EQ(fitted({2, 3}, {1, 6}), "1x6");
}

TEST(NetworkInput, FreeExtentsAreTheDatas) {
  EXPECT_EQ(fitted({7, 4}, {-1, 4}), "7x4");
  EXPECT_EQ(fitted({28, 30}, {1, -1, -1}), "1x28x30");
  EXPECT_THAT(fitted({7, 5}, {-1, 4}), HasSubstr("takes samples of Nx4, 'tensor' has 7x5"));
}

TEST(NetworkInput, AxesDoNotMoveUnasked) {
  EXPECT_THAT(fitted({3, 32, 32}, {32, 32, 3}), HasSubstr("data.transpose: [1, 2, 0], or data.layout: nchw"));
  EXPECT_THAT(fitted({32, 32, 3}, {3, 32, 32}), HasSubstr("data.transpose: [2, 0, 1], or data.layout: nhwc"));
  EXPECT_THAT(fitted({3, 16, 32}, {3, 32, 16}), HasSubstr("data.transpose: [0, 2, 1]"));
  EXPECT_THAT(fitted({784}, {1, 28, 28}), HasSubstr("data.sample_shape: [1, 28, 28]"));
  EXPECT_THAT(fitted({4, 3}, {2, 6}), HasSubstr("data.sample_shape: [2, 6]"));
  EXPECT_THAT(fitted({4, 3}, {4, 4}), HasSubstr("check model.file and data.inputs"));
}

TEST(NetworkInput, TargetsAreComparedByMeaning) {
  EXPECT_TRUE(comparable({1}, {}));
  EXPECT_TRUE(comparable({1, 28, 28}, {784}));
  EXPECT_TRUE(comparable({784}, {1, 28, 28}));
  EXPECT_FALSE(comparable({4, 3}, {3, 4}));
  EXPECT_FALSE(comparable({4, 3}, {2, 6}));
}

}  // namespace
}  // namespace tessera::sim
