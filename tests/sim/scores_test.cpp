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
  TaskScore score;
  score.add(outputs.view(), labels, OutputKind::logits);
  const double first = std::log(std::exp(-2.0) + std::exp(-1.0) + 1.0);
  EXPECT_EQ(score.count, 2);
  EXPECT_EQ(score.correct, 2);
  EXPECT_DOUBLE_EQ(score.loss(), first / 2.0) << "the second sample is certain; its exponentials must not overflow";
}

TEST(ScoresTest, ProbabilitiesAreNotNormalisedAgain) {
  const Matrix outputs(2, 2, std::vector<float>{0.25F, 0.75F, 1.0F, 0.0F});
  TaskScore score;
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
  TaskScore whole;
  whole.add(outputs.view(), labels, OutputKind::logits);
  TaskScore parts;
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
  TaskScore score;
  EXPECT_THROW(score.add(outputs.view(), std::vector<std::int32_t>{0}, OutputKind::logits), RunError);
}

TEST(ScoresTest, TiesGoToTheFirstClass) {
  const Matrix outputs(1, 3, std::vector<float>{1.0F, 2.0F, 2.0F});
  EXPECT_EQ(predicted_classes(outputs.view()), std::vector<std::int32_t>{1});
}

TEST(ScoresTest, TopFiveConfusionAndClassesAreCounted) {
  // Outputs 6, 5, 4, ...: class 4 is the fifth largest, class 5 is not among them.
  Matrix outputs(3, 7);
  for (std::int64_t r = 0; r < 3; ++r)
    for (std::int64_t c = 0; c < 7; ++c) outputs(r, c) = static_cast<float>(6 - c);
  TaskScore score;
  score.add(outputs.view(), std::vector<std::int32_t>{0, 4, 5}, OutputKind::logits);
  EXPECT_EQ(score.correct, 1);
  EXPECT_EQ(score.correct_top5, 2);
  EXPECT_EQ(score.classes(), 7);
  EXPECT_EQ(score.confusion[0], 1);
  EXPECT_EQ(score.confusion[4 * 7], 1);
  EXPECT_EQ(score.confusion[5 * 7], 1);
  EXPECT_EQ(score.class_accuracy(0), 1.0);
  EXPECT_EQ(score.class_accuracy(4), 0.0);
  EXPECT_TRUE(std::isnan(score.class_accuracy(1)));
  EXPECT_TRUE(std::isnan(score.mse()));
  // Equal outputs: those of smaller classes come first, as for the predicted class.
  TaskScore ties;
  ties.add(Matrix(2, 7).view(), std::vector<std::int32_t>{4, 5}, OutputKind::logits);
  EXPECT_EQ(ties.correct_top5, 1);
}

TEST(ScoresTest, SquaredErrorsAreMeansOverSamplesAndOutputs) {
  TaskScore score;
  score.add_targets(Matrix(2, 2, std::vector<float>{1, 2, 3, 4}).view(),
                    Matrix(2, 2, std::vector<float>{1, 0, 0, 4}).view());
  EXPECT_DOUBLE_EQ(score.mse(), (4.0 + 9.0) / 4.0);
  EXPECT_EQ(score.count, 2);
}

TEST(ScoresTest, AreaUnderTheRocCurveCountsPairs) {
  // Errors 1, 4, 4, 9 of samples with labels 0 (normal), 0, 1, 2: of four pairs three and a half are in order.
  const Matrix inputs(4, 1), outputs(4, 1, std::vector<float>{1, 2, 2, 3});
  TaskScore score;
  score.add_reconstructions(outputs.view(), inputs.view(), std::vector<std::int32_t>{0, 0, 1, 2}, std::vector<int>{0});
  EXPECT_DOUBLE_EQ(score.auc(), 3.5 / 4.0);
  EXPECT_DOUBLE_EQ(score.mse(), 18.0 / 4.0);
  TaskScore reversed;
  reversed.add_reconstructions(outputs.view(), inputs.view(), std::vector<std::int32_t>{0, 0, 1, 2},
                               std::vector<int>{1, 2});
  EXPECT_DOUBLE_EQ(reversed.auc(), 0.5 / 4.0);
  TaskScore unlabelled;
  unlabelled.add_reconstructions(outputs.view(), inputs.view(), {}, std::vector<int>{0});
  EXPECT_TRUE(std::isnan(unlabelled.auc()));
}

TEST(ScoresTest, PositionsWithoutALabelDoNotCount) {
  const Matrix outputs(3, 2, std::vector<float>{1.0F, 0.0F, 0.0F, 1.0F, 1.0F, 0.0F});
  TaskScore score;
  score.add(outputs.view(), std::vector<std::int32_t>{0, -100, 1}, OutputKind::logits, -100);
  EXPECT_EQ(score.count, 2);
  EXPECT_EQ(score.accuracy(), 0.5);
  EXPECT_NEAR(score.loss(), std::log(1.0 + std::exp(1.0)) - 0.5, 1e-12);
  EXPECT_NEAR(score.perplexity(), std::exp(score.loss()), 1e-12);
}

TEST(ScoresTest, AgreementIsOfRowsAndCosinesOfSamples) {
  const Matrix reference(4, 2, std::vector<float>{1, 0, 0, 2, 0, 0, 0, 0});
  const Matrix outputs(4, 2, std::vector<float>{1, 0, 2, 0, 0, 0, 0, 0});
  TaskScore score;
  score.add_agreement(outputs.view(), reference.view(), OutputKind::logits, 2);
  EXPECT_EQ(score.agreement(), 0.75);
  EXPECT_NEAR(score.cosine(), (1.0 / 5.0 + 1.0) / 2.0, 1e-12);
  const double p = 1.0 / (1.0 + std::exp(2.0));  // of the smaller entry
  EXPECT_NEAR(score.divergence(), ((1.0 - p) * 2.0 - p * 2.0) / 4.0, 1e-12);
  TaskScore same;
  same.add_agreement(reference.view(), reference.view(), OutputKind::logits, 1);
  EXPECT_EQ(same.agreement(), 1.0);
  EXPECT_EQ(same.divergence(), 0.0);
  EXPECT_EQ(same.cosine(), 1.0);
  EXPECT_TRUE(std::isnan(TaskScore().agreement()));
}

TEST(ScoresTest, ClassesFirstAreMovedToTheEndOfRows) {
  const Tensor outputs({1, 2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  const Tensor rows = class_rows(outputs, {.positions = 3, .classes = 2, .classes_first = true});
  EXPECT_EQ(rows.shape(), (Shape{3, 2}));
  EXPECT_TRUE(std::ranges::equal(rows.values(), std::vector<float>{1, 4, 2, 5, 3, 6}));
}

}  // namespace
}  // namespace tessera::sim
