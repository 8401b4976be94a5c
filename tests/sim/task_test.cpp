// Does each task compare a network's outputs with what it should, and refuse data that do not fit?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "nn/network.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"
#include "tessera/results/writer.hpp"
#include "tessera/sim/recording.hpp"

namespace tessera::sim {
namespace {

/// y = 2 x for three values: an autoencoder that errs by x.
nn::Graph doubling() {
  nn::test::Network net;
  const nn::ValueId x = net.input({-1, 3});
  net.output(net.node("Gemm", {x, net.constant(nn::test::tensor({3, 3}, {2, 0, 0, 0, 2, 0, 0, 0, 2}))}, {}, "fc"));
  return net.graph;
}

LayerParameters digital(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.analog = false;
  return layer;
}

io::DataSet labelled(std::vector<std::int32_t> labels) {
  return io::DataSet(nn::test::tensor({4, 3}, {1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0, 0}), std::move(labels));
}

struct Ran {
  EvaluationResult result;
  std::string file;
};

Ran run(const io::DataSet& data, EvaluationParameters evaluation) {
  const nn::Executor executor(doubling());
  const EvaluationRequest request{.executor = executor,
                                  .data = data,
                                  .batch_size = 3,
                                  .evaluation = std::move(evaluation),
                                  .resolve = digital,
                                  .record_output = {}};
  const std::string path = testing::TempDir() + "task_test.h5";
  results::Header header;
  describe_run(header, request, {});
  results::Writer writer(path, header);
  Ran ran{evaluate(request, recording_sink(writer, request), {}, {}), path};
  writer.write_runtime({});
  writer.commit();
  return ran;
}

double value(const std::string& file, const std::string& variable) {
  return results::Reader(file).read(variable).values.at(0);
}

TEST(TaskTest, AnomaliesAreFoundByTheirError) {
  const Ran ran = run(labelled({0, 7, 7, 0}), {.times = {}, .task = Task::anomaly});
  EXPECT_DOUBLE_EQ(ran.result.reference.mse(), (1.0 + 4.0 + 9.0 + 0.0) / 4.0);
  EXPECT_DOUBLE_EQ(ran.result.points.at(0).score.auc(), 1.0);
  EXPECT_EQ(value(ran.file, "/auc"), 1.0);
  EXPECT_EQ(value(ran.file, "/mse"), 3.5);
  EXPECT_EQ(value(ran.file, "/reference/mse"), 3.5);
  EXPECT_FALSE(results::Reader(ran.file).has("/accuracy"));
  EXPECT_THAT(results::check_schema(h5::File::open(ran.file)), testing::IsEmpty());
  const Ran other = run(labelled({0, 7, 7, 0}), {.times = {}, .task = Task::anomaly, .normal_labels = {7}});
  EXPECT_EQ(value(other.file, "/auc"), 0.0);
  std::filesystem::remove(ran.file);
}

TEST(TaskTest, IntegerLabelsMeanClassification) {
  const Ran ran = run(labelled({0, 1, 0, 2}), {.times = {}});
  EXPECT_EQ(value(ran.file, "/accuracy"), 0.5) << "all outputs are equal: class 0";
  const results::NamedArray confusion = results::Reader(ran.file).read("/confusion");
  EXPECT_THAT(confusion.dims, testing::ElementsAre("time", "repeat", "class", "predicted_class"));
  EXPECT_THAT(confusion.values, testing::ElementsAre(2, 0, 0, 1, 0, 0, 1, 0, 0));
  EXPECT_THAT(results::Reader(ran.file).read("/reference/class_accuracy").values, testing::ElementsAre(1, 0, 0));
  EXPECT_THAT(results::check_schema(h5::File::open(ran.file)), testing::IsEmpty());
  std::filesystem::remove(ran.file);
}

TEST(TaskTest, RealTargetsAreMetWithAMeanSquaredError) {
  const std::string folder = testing::TempDir() + "task_test_";
  const Tensor x = nn::test::random_tensor({7, 3}, 1), targets = nn::test::random_tensor({7, 3}, 2);
  io::write_npy(folder + "x.npy", x);
  io::write_npy(folder + "targets.npy", targets);
  io::DataParameters parameters;
  parameters.format = io::DataFormat::npy;
  parameters.inputs = {folder + "x.npy"};
  parameters.labels = folder + "targets.npy";
  double squares = 0.0;  // the network doubles its input
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double error = 2.0 * static_cast<double>(x.data()[i]) - static_cast<double>(targets.data()[i]);
    squares += error * error;
  }
  const Ran ran = run(io::DataSet(parameters), {.times = {}});
  EXPECT_NEAR(value(ran.file, "/mse"), squares / 21.0, 1e-6 * squares) << "real labels mean regression";
  EXPECT_EQ(value(ran.file, "/reference/mse"), value(ran.file, "/mse"));
  EXPECT_EQ(value(ran.file, "/count"), 7.0);
  EXPECT_FALSE(results::Reader(ran.file).has("/accuracy"));
  EXPECT_THAT(results::check_schema(h5::File::open(ran.file)), testing::IsEmpty());
  // What the network gives, as targets.
  Tensor doubled = x;
  for (float& v : doubled.values()) v *= 2.0F;
  io::write_npy(folder + "targets.npy", doubled);
  const Ran exact = run(io::DataSet(parameters), {.times = {}, .task = Task::regression});
  EXPECT_EQ(value(exact.file, "/mse"), 0.0);
  for (const char* name : {"x.npy", "targets.npy"}) std::filesystem::remove(folder + name);
  std::filesystem::remove(ran.file);
}

TEST(TaskTest, DataThatDoNotFitAreRefused) {
  EXPECT_THROW(run(labelled({}), {.times = {}, .task = Task::classification}), InputError);
  EXPECT_THROW(run(labelled({}), {.times = {}, .task = Task::regression}), InputError);
  EXPECT_THROW(run(labelled({0, 1, 0, 2}), {.times = {}, .task = Task::regression}), InputError) << "three outputs";
  EXPECT_THROW(run(labelled({0, 1, 0, 3}), {.times = {}}), InputError) << "no class 3";
  EXPECT_NO_THROW(run(labelled({}), {.times = {}}));
  std::filesystem::remove(testing::TempDir() + "task_test.h5");
}

}  // namespace
}  // namespace tessera::sim
