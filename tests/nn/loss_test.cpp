#include "tessera/nn/loss.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "network.hpp"

// Question: are losses what their formulas say, and are their gradients the derivatives of their values?
namespace tessera::nn {
namespace {

using test::random_tensor;

Tensor softmax(const Tensor& logits, bool logarithm) {
  Tensor result(logits.shape());
  const std::int64_t classes = logits.dim(1);
  for (std::int64_t n = 0; n < logits.dim(0); ++n) {
    double sum = 0.0;
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(logits.data()[n * classes + c]));
    for (std::int64_t c = 0; c < classes; ++c) {
      const double p = std::exp(static_cast<double>(logits.data()[n * classes + c])) / sum;
      result.data()[n * classes + c] = static_cast<float>(logarithm ? std::log(p) : p);
    }
  }
  return result;
}

TEST(Loss, CrossEntropyOfHandMadeNumbers) {
  // p = (1/2, 1/4, 1/4): -ln p = (0.693147, 1.386294, 1.386294).
  const Tensor logits = test::tensor({1, 3}, {std::log(2.0F), 0.0F, 0.0F});
  const std::vector<std::int32_t> label{0};
  const Loss plain = softmax_cross_entropy(logits, label, LossInput::logits);
  EXPECT_NEAR(plain.value, 0.693147, 1e-6);
  EXPECT_EQ(plain.correct, 1);
  EXPECT_NEAR(plain.d_output.data()[0], -0.5F, 1e-6F);
  EXPECT_NEAR(plain.d_output.data()[1], 0.25F, 1e-6F);
  // t = (0.8, 0.1, 0.1) for a smoothing of 0.3.
  const Loss smooth = softmax_cross_entropy(logits, label, LossInput::logits, 0.3);
  EXPECT_NEAR(smooth.value, 0.8 * 0.693147 + 0.2 * 1.386294, 1e-6);
  EXPECT_NEAR(smooth.d_output.data()[0], -0.3F, 1e-6F);
}

TEST(Loss, TheThreeFormsOfAnOutputGiveOneLoss) {
  const Tensor logits = random_tensor({4, 5}, 1);
  const std::vector<std::int32_t> labels{0, 4, 2, 2};
  const double expected = softmax_cross_entropy(logits, labels, LossInput::logits, 0.1).value;
  EXPECT_NEAR(softmax_cross_entropy(softmax(logits, false), labels, LossInput::probabilities, 0.1).value, expected,
              1e-6);
  EXPECT_NEAR(softmax_cross_entropy(softmax(logits, true), labels, LossInput::log_probabilities, 0.1).value, expected,
              1e-6);
}

TEST(Loss, GradientsAreTheDerivatives) {
  const std::vector<std::int32_t> labels{1, 3};
  const Tensor logits = random_tensor({2, 4}, 2), target = random_tensor({2, 4}, 3);
  for (const LossInput input : {LossInput::logits, LossInput::probabilities, LossInput::log_probabilities}) {
    Tensor y = input == LossInput::logits ? logits : softmax(logits, input == LossInput::log_probabilities);
    const Loss loss = softmax_cross_entropy(y, labels, input, 0.2);
    for (std::int64_t i = 0; i < y.size(); ++i) {
      const float original = y.data()[i];
      constexpr double h = 1e-3;
      y.data()[i] = original + static_cast<float>(h);
      const double above = softmax_cross_entropy(y, labels, input, 0.2).value;
      y.data()[i] = original - static_cast<float>(h);
      const double below = softmax_cross_entropy(y, labels, input, 0.2).value;
      y.data()[i] = original;
      EXPECT_NEAR((above - below) / (2.0 * h), loss.d_output.data()[i],
                  2e-3 * (1.0 + std::fabs(loss.d_output.data()[i])));
    }
  }
  const Loss squared = mean_squared_error(logits, target);
  double value = 0.0;
  for (std::int64_t i = 0; i < 8; ++i) {
    const double d = static_cast<double>(logits.data()[i]) - static_cast<double>(target.data()[i]);
    value += d * d / 8.0;
    EXPECT_NEAR(squared.d_output.data()[i], d / 4.0, 1e-6);
  }
  EXPECT_NEAR(squared.value, value, 1e-9);
}

TEST(Loss, RefusesWhatDoesNotFit) {
  const Tensor y = random_tensor({2, 3}, 4);
  const std::vector<std::int32_t> short_list{0}, outside{0, 3}, negative{0, -1}, good{0, 1};
  EXPECT_THROW(softmax_cross_entropy(y, short_list, LossInput::logits), InputError);
  EXPECT_THROW(softmax_cross_entropy(y, outside, LossInput::logits), InputError);
  EXPECT_THROW(softmax_cross_entropy(y, negative, LossInput::logits), InputError);
  EXPECT_THROW(softmax_cross_entropy(y, good, LossInput::logits, 1.0), InputError);
  EXPECT_THROW(mean_squared_error(y, Tensor({2, 2})), InputError);
  Tensor bad = y;
  bad.data()[0] = NAN;
  EXPECT_THROW(softmax_cross_entropy(bad, good, LossInput::logits), RunError);
}

TEST(Loss, KnowsWhatANetworkEndsIn) {
  for (const auto& [op, expected] : {std::pair<std::string, LossInput>{"Softmax", LossInput::probabilities},
                                     {"LogSoftmax", LossInput::log_probabilities},
                                     {"Relu", LossInput::logits}}) {
    test::Network net;
    net.output(net.node(op, {net.input({-1, 3})}));
    EXPECT_EQ(loss_input(net.graph), expected) << op;
  }
}

}  // namespace
}  // namespace tessera::nn
