// Does an evaluation give the same bits however the work is cut, and what it should where the answer is known?
#include "tessera/sim/evaluate.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "sim/small_network.hpp"

namespace tessera::sim {
namespace {

using test::small_data;
using test::small_network;

LayerParameters noisy(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.rpu.forward.bound_management = tile::BoundManagementType::NONE;
  layer.rpu.pre_post.periph_quant.n_bits = 6;
  layer.rpu.mapping.weight_scaling_omega = 1.0;
  layer.rpu.mapping.max_input_size = 4;
  return layer;
}

LayerParameters ideal(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.rpu.forward.is_perfect = true;
  return layer;
}

struct Recorded {
  EvaluationResult result;
  std::vector<std::int32_t> predictions;
  std::vector<float> outputs;
};

Recorded evaluate_small(LayerResolver resolve, std::int64_t batch, int threads, int repeats = 2,
                        std::int64_t memory = std::int64_t{1} << 30) {
  const nn::Executor executor(small_network());
  const io::DataSet data = small_data(41);
  EvaluationParameters evaluation;
  evaluation.repeats = repeats;
  const EvaluationRequest request{.executor = executor,
                                  .data = data,
                                  .batch_size = batch,
                                  .seed = 7,
                                  .evaluation = evaluation,
                                  .resolve = std::move(resolve),
                                  .statistics = true,
                                  .record_output = {true, false},
                                  .memory_bytes = memory};
  std::vector<std::vector<std::int32_t>> predictions(static_cast<std::size_t>(repeats));
  std::vector<std::vector<float>> outputs(static_cast<std::size_t>(repeats));
  EvaluationSink sink;
  sink.predictions = [&](const PointIndex& point, std::int64_t, std::span<const std::int32_t> classes) {
    auto& list = predictions[static_cast<std::size_t>(point.repeat)];
    list.insert(list.end(), classes.begin(), classes.end());
  };
  sink.output = [&](const PointIndex& point, std::size_t layer, std::int64_t, const Tensor& output) {
    EXPECT_EQ(layer, 0U);
    auto& list = outputs[static_cast<std::size_t>(point.repeat)];
    list.insert(list.end(), output.values().begin(), output.values().end());
  };
  Recorded recorded;
  recorded.result = evaluate(request, sink, Parallel{threads}, {});
  for (const auto& list : predictions)
    recorded.predictions.insert(recorded.predictions.end(), list.begin(), list.end());
  for (const auto& list : outputs) recorded.outputs.insert(recorded.outputs.end(), list.begin(), list.end());
  return recorded;
}

void expect_same(const Recorded& a, const Recorded& b) {
  EXPECT_EQ(a.predictions, b.predictions);
  EXPECT_EQ(a.outputs, b.outputs);
  ASSERT_EQ(a.result.points.size(), b.result.points.size());
  for (std::size_t p = 0; p < a.result.points.size(); ++p) {
    const PointResult& x = a.result.points[p];
    const PointResult& y = b.result.points[p];
    EXPECT_EQ(x.score.loss_sum, y.score.loss_sum);
    EXPECT_EQ(x.score.correct, y.score.correct);
    for (std::size_t l = 0; l < x.layers.size(); ++l) {
      EXPECT_EQ(x.layers[l].cumulative.sum_error_squared, y.layers[l].cumulative.sum_error_squared);
      EXPECT_EQ(x.layers[l].isolated.sum_error_squared, y.layers[l].isolated.sum_error_squared);
      EXPECT_EQ(x.layers[l].counts, y.layers[l].counts);
    }
  }
}

TEST(EvaluateTest, SameBitsForAnyBatchThreadsAndMemory) {
  const Recorded whole = evaluate_small(noisy, 41, 1);
  ASSERT_EQ(whole.outputs.size(), 2U * 41U * 5U);
  ASSERT_EQ(whole.predictions.size(), 2U * 41U);
  for (const std::int64_t batch : {1, 7, 40})
    for (const int threads : {1, 3}) expect_same(whole, evaluate_small(noisy, batch, threads));
  expect_same(whole, evaluate_small(noisy, 16, 2, 2, 1));
}

LayerParameters quantized_outputs(const std::string& name, const std::string& op) {
  LayerParameters layer = noisy(name, op);
  layer.rpu.act_quant_config = tile::ActivationQuantConfig{.n_bits = 3};
  return layer;
}

TEST(EvaluateTest, ActivationQuantizersGetTheirRangesFromTheFirstSamples) {
  const Recorded whole = evaluate_small(quantized_outputs, 41, 1, 1);
  const std::set<float> levels(whole.outputs.begin(), whole.outputs.end());
  EXPECT_GT(levels.size(), 2U);
  EXPECT_LE(levels.size(), 8U) << "three bits";
  for (const std::int64_t batch : {1, 7})
    for (const int threads : {1, 3}) expect_same(whole, evaluate_small(quantized_outputs, batch, threads, 1));
}

TEST(EvaluateTest, ChipsDifferAndLayersAreMeasuredAlone) {
  const Recorded recorded = evaluate_small(noisy, 16, 2);
  const auto& points = recorded.result.points;
  ASSERT_EQ(points.size(), 2U);
  EXPECT_NE(points[0].score.loss_sum, points[1].score.loss_sum);
  for (const PointResult& point : points) {
    EXPECT_EQ(point.layers[0].cumulative.sum_error_squared, point.layers[0].isolated.sum_error_squared)
        << "the first layer has the same input either way";
    EXPECT_NE(point.layers[1].cumulative.sum_error_squared, point.layers[1].isolated.sum_error_squared);
    EXPECT_EQ(point.layers[0].counts.vectors, 41) << "the isolated pass must not be counted";
  }
}

TEST(EvaluateTest, IdealIsIdeal) {
  const Recorded recorded = evaluate_small(ideal, 16, 1, 1);
  const PointResult& point = recorded.result.points.at(0);
  EXPECT_EQ(point.score.correct, recorded.result.reference.correct);
  for (const LayerResult& layer : point.layers) EXPECT_GT(layer.cumulative.sqnr_db(), 120.0);
}

TEST(EvaluateTest, ADigitalLayerIsExact) {
  const auto only_second = [](const std::string& name, const std::string& op) {
    LayerParameters layer = noisy(name, op);
    layer.analog = name == "fc2";
    return layer;
  };
  const Recorded recorded = evaluate_small(only_second, 16, 1, 1);
  const PointResult& point = recorded.result.points.at(0);
  EXPECT_FALSE(point.layers[0].analog);
  EXPECT_EQ(point.layers[0].cumulative.sum_error_squared, 0.0);
  EXPECT_GT(point.layers[1].cumulative.sum_error_squared, 0.0);
}

TEST(EvaluateTest, CancellingLeavesNoHalfFinishedChip) {
  const nn::Executor executor(small_network());
  const io::DataSet data = small_data(41);
  std::atomic<bool> cancel{false};
  Environment environment;
  environment.cancel = &cancel;
  // The second chip does not fit into memory with the first, so the first is finished when the flag is seen.
  environment.progress = [&](std::int64_t done, std::int64_t, const char*) { cancel = done > 50; };
  EvaluationParameters evaluation;
  evaluation.repeats = 3;
  const EvaluationRequest request{.executor = executor,
                                  .data = data,
                                  .batch_size = 10,
                                  .seed = 7,
                                  .evaluation = evaluation,
                                  .resolve = noisy,
                                  .statistics = false,
                                  .record_output = {},
                                  .memory_bytes = 1};
  const EvaluationResult result = evaluate(request, {}, Parallel{1}, environment);
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.points.size(), 1U);
}

TEST(EvaluateTest, DataThatDoesNotFitIsRefused) {
  const nn::Graph graph = small_network();
  EXPECT_EQ(fitted_sample_shape(graph, io::DataSet(Tensor({1, 2, 3}))), (Shape{6}));
  EXPECT_THROW(fitted_sample_shape(graph, io::DataSet(Tensor({1, 7}))), InputError);
  const nn::Executor executor(small_network());
  const io::DataSet labels_too_large(Tensor({1, 6}), {3});
  const EvaluationRequest request{
      .executor = executor, .data = labels_too_large, .evaluation = {}, .resolve = ideal, .record_output = {}};
  EXPECT_THROW(evaluate(request, {}, {}, {}), InputError);
}

}  // namespace
}  // namespace tessera::sim
