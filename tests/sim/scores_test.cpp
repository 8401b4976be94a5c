// Are accuracy and loss what their formulas say, for logits and for probabilities?
#include "tessera/sim/scores.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tessera::sim {
namespace {

TEST(ScoresTest, LossOfLogitsIsCrossEntropyOfTheirSoftmax) {
  const Matrix outputs(2, 3, std::vector<float>{1.0F, 2.0F, 3.0F, 1000.0F, 0.0F, -1000.0F});
  const std::vector<std::int32_t> labels{2, 0};
  ClassificationScore score;
  score.add(outputs.view(), labels, OutputKind::logits);
  const double first = std::log(std::exp(-2.0) + std::exp(-1.0) + 1.0);
  EXPECT_EQ(score.count, 2);
  EXPECT_EQ(score.correct, 2);
  EXPECT_DOUBLE_EQ(score.loss(), first / 2.0) << "the second sample is certain; its exponentials must not overflow";
}

TEST(ScoresTest, ProbabilitiesAreNotNormalisedAgain) {
  const Matrix outputs(2, 2, std::vector<float>{0.25F, 0.75F, 1.0F, 0.0F});
  ClassificationScore score;
  score.add(outputs.view(), std::vector<std::int32_t>{0, 1}, OutputKind::probabilities);
  EXPECT_EQ(score.correct, 0);
  EXPECT_NEAR(score.loss_sum, -std::log(0.25) - std::log(1e-30), 1e-9);
}

TEST(ScoresTest, BatchesAddUpToTheSameBits) {
  Matrix outputs(50, 7);
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < outputs.rows() * outputs.cols(); ++i)
    outputs.data()[i] = static_cast<float>((i * 2654435761U) % 1000) / 100.0F;
  for (std::int32_t i = 0; i < 50; ++i) labels.push_back(i % 7);
  ClassificationScore whole;
  whole.add(outputs.view(), labels, OutputKind::logits);
  ClassificationScore parts;
  for (std::int64_t first = 0; first < 50; first += 9) {
    const std::int64_t count = std::min<std::int64_t>(9, 50 - first);
    parts.add(outputs.view().rows_from(first, count),
              std::span(labels).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
              OutputKind::logits);
  }
  EXPECT_EQ(whole.loss_sum, parts.loss_sum);
  EXPECT_EQ(whole.correct, parts.correct);
  EXPECT_GT(whole.loss_sum, 0.0);
}

TEST(ScoresTest, ANonFiniteOutputIsAnError) {
  const Matrix outputs(1, 2, std::vector<float>{0.0F, std::numeric_limits<float>::quiet_NaN()});
  ClassificationScore score;
  EXPECT_THROW(score.add(outputs.view(), std::vector<std::int32_t>{0}, OutputKind::logits), RunError);
}

TEST(ScoresTest, TiesGoToTheFirstClass) {
  const Matrix outputs(1, 3, std::vector<float>{1.0F, 2.0F, 2.0F});
  EXPECT_EQ(predicted_classes(outputs.view()), std::vector<std::int32_t>{1});
}

}  // namespace
}  // namespace tessera::sim
