#include "gradient_check.hpp"

#include <gtest/gtest.h>

// Question: does the check of derivatives see a wrong one?
namespace tessera::nn {
namespace {

using test::Network;

TEST(GradientCheck, SeesAWrongGradient) {
  Network net;
  net.output(net.node(
      "Clip", {net.input({-1, 6}), net.constant(test::tensor({}, {-0.31F})), net.constant(test::tensor({}, {0.3F}))}));
  TrainingNetwork network(net.graph);
  // Inputs on the border: left of it the slope is 1, right of it 0, and the gradient is neither's mean.
  Tensor x({2, 6});
  for (float& v : x.values()) v = 0.3F;
  const auto errors = test::gradient_errors(network, x, 0.02, 10.0);
  EXPECT_GT(errors[0].relative(), 0.2);
}

}  // namespace
}  // namespace tessera::nn
