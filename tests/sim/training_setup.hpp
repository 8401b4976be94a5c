#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "tessera/io/dataset.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/sim/train.hpp"

/// A small training: three noisy clusters, two layers, noisy tiles.
namespace tessera::sim {

inline constexpr std::int64_t samples = 96;
inline constexpr std::int64_t inputs = 12;
inline constexpr std::int64_t classes = 3;

/// Three noisy clusters.
inline io::DataSet clusters(std::uint64_t seed) {
  const random::Stream stream({.seed = seed}, random::Purpose::test);
  const random::Stream centres({.seed = 1}, random::Purpose::test);
  Tensor data({samples, inputs});
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < samples; ++i) {
    const auto label = static_cast<std::int32_t>(i % classes);
    labels.push_back(label);
    for (std::int64_t k = 0; k < inputs; ++k)
      data.data()[i * inputs + k] = random::normal(centres, 7, static_cast<std::uint64_t>(label * inputs + k)) +
                                    0.7F * random::normal(stream, 0, static_cast<std::uint64_t>(i * inputs + k));
  }
  return io::DataSet(std::move(data), std::move(labels));
}

inline Tensor drawn(Shape shape, std::uint32_t event) {
  Tensor tensor = Tensor::uninitialized(std::move(shape));
  random::fill_normal(random::Stream({.seed = 3}, random::Purpose::test), event, 0, tensor.values());
  for (float& value : tensor.values()) value *= 0.3F;
  return tensor;
}

/// fc1 (with bias), Relu, fc2.
inline nn::Graph two_layers() {
  nn::Graph graph;
  graph.name = "two_layers";
  const nn::ValueId x = graph.add_value("x");
  const nn::ValueId h = graph.add_value("h");
  const nn::ValueId a = graph.add_value("a");
  const nn::ValueId y = graph.add_value("y");
  const nn::ValueId w1 = graph.add_value("fc1.weight", drawn({8, inputs}, 1));
  const nn::ValueId b1 = graph.add_value("fc1.bias", drawn({8}, 2));
  const nn::ValueId w2 = graph.add_value("fc2.weight", drawn({classes, 8}, 3));
  const nn::ValueId b2 = graph.add_value("fc2.bias", drawn({classes}, 4));
  graph.nodes = {{"fc1", "Gemm", {x, w1, b1}, {h}, {{"transB", std::int64_t{1}}}},
                 {"relu", "Relu", {h}, {a}, {}},
                 {"fc2", "Gemm", {a, w2, b2}, {y}, {{"transB", std::int64_t{1}}}}};
  graph.inputs = {{x, nn::ElementType::float32, {-1, inputs}, true}};
  graph.outputs = {y};
  return graph;
}

/// Noisy tiles with input ranges that are learned, devices, and quantized periphery.
inline LayerParameters hardware(const std::string&, const std::string&) {
  LayerParameters parameters;
  parameters.rpu.forward.inp_res = 254.0;
  parameters.rpu.forward.out_res = 254.0;
  parameters.rpu.forward.out_bound = 10.0;
  parameters.rpu.forward.out_noise = 0.04;
  parameters.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
  parameters.rpu.forward.bound_management = tile::BoundManagementType::NONE;
  parameters.rpu.mapping.weight_scaling_omega = 1.0;
  parameters.rpu.mapping.weight_scaling_columnwise = true;
  parameters.rpu.mapping.max_input_size = 8;
  parameters.rpu.pre_post.input_range.enable = true;
  parameters.rpu.pre_post.input_range.init_from_data = 5;
  parameters.rpu.pre_post.periph_quant.n_bits = 8;
  parameters.device = device::DeviceParameters{.noise_model = device::PCMLikeNoiseModel{}};
  return parameters;
}

class TrainingTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(checkpoint_); }

  TrainingRequest request(std::int64_t digital, std::int64_t analog) const {
    TrainingRequest request{.model = {two_layers(), {}, {}, {}},
                            .data = data_,
                            .validation = validation_,
                            .validation_batch_size = 32,
                            .parameters = {},
                            .seed = 5,
                            .resolve = hardware,
                            .task_id = "task",
                            .checkpoint = {}};
    request.parameters.data.format = io::DataFormat::glyphs;
    request.parameters.digital_epochs = digital;
    request.parameters.analog_epochs = analog;
    request.parameters.batch_size = 16;
    request.parameters.optimizer = {.type = nn::OptimizerType::adamw, .weight_decay = 0.01};
    request.parameters.learning_rate = 0.02;
    request.parameters.schedule = {.type = nn::ScheduleType::cosine};
    request.parameters.augmentation.noise = 0.1;
    request.parameters.label_smoothing = 0.05;
    request.parameters.validation.repeats = 2;
    request.parameters.validation.times = {1.0, 3600.0};
    return request;
  }

  const io::DataSet data_ = clusters(11);
  const io::DataSet validation_ = clusters(12);
  const std::string checkpoint_ = testing::TempDir() + "tessera_train_" +
                                  testing::UnitTest::GetInstance()->current_test_info()->name() + ".checkpoint";
};

/// Every number of a result but the wall time.
inline std::vector<double> numbers_of(const TrainingResult& result) {
  std::vector<double> numbers;
  for (const nn::Value& value : result.model.graph.values)
    if (value.constant && std::holds_alternative<Tensor>(*value.constant))
      for (const float v : std::get<Tensor>(*value.constant).values()) numbers.push_back(static_cast<double>(v));
  for (const auto& [layer, found] : result.model.calibration)
    for (const auto& [name, values] : found) numbers.insert(numbers.end(), values.begin(), values.end());
  for (const results::TrainingEpoch& epoch : result.epochs) {
    for (const double v : {epoch.loss, epoch.accuracy, epoch.learning_rate, epoch.gradient_norm,
                           epoch.reference_accuracy, epoch.reference_loss, epoch.best ? 1.0 : 0.0})
      numbers.push_back(v);
    numbers.insert(numbers.end(), epoch.validation_accuracy.begin(), epoch.validation_accuracy.end());
    numbers.insert(numbers.end(), epoch.validation_loss.begin(), epoch.validation_loss.end());
  }
  return numbers;
}

/// What an interrupted training and its continuation must equal; leaves the checkpoint of the first 14 steps behind.
inline std::vector<double> expect_threads_change_nothing_then_interrupt(TrainingRequest& whole,
                                                                        const std::string& checkpoint) {
  std::vector<double> expected = numbers_of(train(whole, {}, {}, {}));
  EXPECT_EQ(numbers_of(train(whole, {}, Parallel{3}, {})), expected);
  whole.checkpoint = checkpoint;
  std::atomic<bool> cancel = false;
  std::int64_t steps = 0;
  Environment environment;
  environment.cancel = &cancel;
  environment.progress = [&](std::int64_t, std::int64_t, const char*) { cancel = ++steps >= 14; };
  EXPECT_FALSE(train(whole, {}, {}, environment).complete);
  return expected;
}

}  // namespace tessera::sim
