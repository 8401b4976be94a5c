// Does training learn, in float32 and on tiles, to the same bits for any thread count and across an interruption?
#include "tessera/sim/train.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>

#include "sim/training_setup.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/layer_calibration.hpp"

namespace tessera::sim {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class TrainTest : public TrainingTest {};

TEST_F(TrainTest, LearnsInFloat32) {
  TrainingRequest r = request(10, 0);
  const TrainingResult result = train(r, {}, {}, {});
  ASSERT_TRUE(result.complete);
  ASSERT_EQ(result.epochs.size(), 10U);
  EXPECT_LT(result.epochs.back().loss, 0.7 * result.epochs.front().loss);
  EXPECT_GT(result.epochs.back().reference_accuracy, 0.9) << "a third by guessing";
  EXPECT_THAT(result.epochs.back().validation_accuracy, IsEmpty());
  EXPECT_THAT(result.model.calibration, IsEmpty());
}

TEST_F(TrainTest, LearnsOnTilesAndKeepsTheirRanges) {
  const TrainingResult result = train(request(0, 8), {}, {}, {});
  ASSERT_EQ(result.epochs.size(), 8U);
  EXPECT_LT(result.epochs.back().loss, 0.8 * result.epochs.front().loss);
  ASSERT_EQ(result.epochs.back().validation_accuracy.size(), 4U);
  EXPECT_GT(result.epochs.back().validation_accuracy[3], 0.8);
  ASSERT_EQ(result.model.calibration.size(), 2U);
  for (const auto& [layer, numbers] : result.model.calibration) {
    for (const double range : numbers.at("input_range")) {
      EXPECT_GT(range, 0.0) << layer;
      EXPECT_NE(range, 3.0) << layer << ": init_value, so nothing was learned";
    }
  }
  // What the file says reaches the tiles of an evaluation.
  const nn::Executor executor(result.model.graph);
  const LayerResolver resolve =
      with_calibration(hardware, read_calibration(executor.layers(), result.model.calibration));
  const ProgrammedChip chip(executor, resolve, {1, 0, {}});
  const AnalogNetwork network = chip.at(1.0, 0, {});
  EXPECT_EQ(static_cast<double>(network.part(0, 0).tile_report(0).input_range),
            result.model.calibration.at("fc1").at("input_range").front());
}

TEST_F(TrainTest, ThreadsChangeNoBit) {
  std::vector<std::vector<double>> results;
  for (const int threads : {1, 2, 3}) results.push_back(numbers_of(train(request(2, 2), {}, Parallel{threads}, {})));
  EXPECT_THAT(results[0], testing::Each(testing::Truly([](double v) { return std::isfinite(v); })));
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  TrainingRequest other = request(2, 2);
  other.seed = 6;
  EXPECT_NE(results[0], numbers_of(train(other, {}, {}, {}))) << "the comparison can fail";
}

TEST_F(TrainTest, InterruptedAndResumedIsUninterrupted) {
  const std::vector<double> whole = numbers_of(train(request(2, 3), {}, {}, {}));
  // Interrupted in the middle of every epoch and between them: after each number of steps (six per epoch).
  for (const std::int64_t stop_after : {1, 6, 9, 13, 17, 24}) {
    TrainingRequest r = request(2, 3);
    r.checkpoint = checkpoint_;
    r.parameters.checkpoint_every = stop_after % 2;  // with and without regular checkpoints
    std::atomic<bool> cancel = false;
    std::int64_t steps = 0;
    Environment environment;
    environment.cancel = &cancel;
    environment.progress = [&](std::int64_t, std::int64_t, const char*) { cancel = ++steps >= stop_after; };
    const TrainingResult first = train(r, {}, {}, environment);
    ASSERT_FALSE(first.complete) << stop_after;
    ASSERT_TRUE(std::filesystem::exists(checkpoint_)) << stop_after;
    const TrainingResult second = train(r, {}, {}, {});
    EXPECT_TRUE(second.complete);
    EXPECT_EQ(second.resumed_epochs, std::ssize(first.epochs));
    EXPECT_EQ(numbers_of(second), whole) << stop_after;
    std::filesystem::remove(checkpoint_);
  }
}

TEST_F(TrainTest, RefusesTheCheckpointOfAnotherTask) {
  TrainingRequest r = request(1, 0);
  r.checkpoint = checkpoint_;
  train(r, {}, {}, {});
  ASSERT_TRUE(std::filesystem::exists(checkpoint_));
  r.task_id = "another";
  try {
    train(r, {}, {}, {});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("another training"));
  }
  std::filesystem::resize_file(checkpoint_, std::filesystem::file_size(checkpoint_) / 2);
  EXPECT_THROW(train(r, {}, {}, {}), InputError);
}

TEST_F(TrainTest, FreshWeightsAreDrawnFromTheSeed) {
  TrainingRequest r = request(1, 0);
  r.parameters.from_scratch = true;
  const TrainingResult a = train(r, {}, {}, {});
  for (nn::Value& value : r.model.graph.values)
    if (value.constant)
      for (float& w : std::get<Tensor>(*value.constant).values()) w *= 2.0F;
  EXPECT_EQ(numbers_of(a), numbers_of(train(r, {}, {}, {}))) << "nothing of the model's own weights is left";
  r.seed = 6;
  EXPECT_NE(numbers_of(a), numbers_of(train(r, {}, {}, {})));
}

TEST_F(TrainTest, StopsEarlyAndKeepsTheBest) {
  TrainingRequest r = request(30, 0);
  r.parameters.early_stopping.patience = 2;
  r.parameters.early_stopping.min_delta = 0.5;  // no epoch is that much better than the first
  const TrainingResult stopped = train(r, {}, {}, {});
  EXPECT_TRUE(stopped.complete);
  EXPECT_EQ(stopped.epochs.size(), 3U);
  EXPECT_TRUE(stopped.epochs[0].best);
  r.parameters.keep = KeptModel::last;
  EXPECT_NE(numbers_of(stopped), numbers_of(train(r, {}, {}, {})));
}

TEST_F(TrainTest, RateFactorsFreezeAKind) {
  TrainingRequest r = request(0, 2);
  r.parameters.rate_factors.bias = 0.0;
  const TrainingResult result = train(r, {}, {}, {});
  const auto bias = [](const nn::Graph& graph) {
    const auto values = graph.tensor(graph.find_value("fc1.bias"))->values();
    return std::vector<float>(values.begin(), values.end());
  };
  EXPECT_EQ(bias(result.model.graph), bias(two_layers()));
  EXPECT_NE(bias(train(request(0, 2), {}, {}, {}).model.graph), bias(two_layers()));
}

TEST_F(TrainTest, RegressionLearnsOneHotTargets) {
  TrainingRequest r = request(8, 0);
  r.parameters.loss = LossType::mean_squared_error;
  r.parameters.label_smoothing = 0.0;
  const TrainingResult result = train(r, {}, {}, {});
  EXPECT_LT(result.epochs.back().loss, 0.5 * result.epochs.front().loss);
  EXPECT_GT(result.epochs.back().reference_accuracy, 0.9);
}

TEST_F(TrainTest, DivergenceIsAnErrorThatSaysWhatToDo) {
  TrainingRequest r = request(5, 0);
  r.parameters.optimizer = {.type = nn::OptimizerType::sgd, .momentum = 0.9};
  r.parameters.learning_rate = 1e15;
  EXPECT_THROW(train(r, {}, {}, {}), RunError);
}

TEST_F(TrainTest, DataThatDoNotFitAreRefused) {
  const TrainingRequest base = request(1, 0);
  const auto with = [&](const io::DataSet& data) {
    return TrainingRequest{.model = base.model,
                           .data = data,
                           .validation = validation_,
                           .validation_batch_size = 32,
                           .parameters = base.parameters,
                           .seed = 1,
                           .resolve = hardware,
                           .task_id = {},
                           .checkpoint = {}};
  };
  const io::DataSet unlabelled{Tensor({4, inputs})};
  EXPECT_THROW(train(with(unlabelled), {}, {}, {}), InputError);
  const io::DataSet many_classes{Tensor({2, inputs}), {0, 9}};
  EXPECT_THROW(train(with(many_classes), {}, {}, {}), InputError);
}

}  // namespace
}  // namespace tessera::sim
