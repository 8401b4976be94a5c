// Is a programmed chip one chip: the same at any time whatever else is simulated, different from others, and recorded
// as it is?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "tessera/h5/file.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/sim/recording.hpp"

namespace tessera::sim {
namespace {

using testing::HasSubstr;

constexpr double hour = 3600.0, year = 31536000.0;

Tensor waves(Shape shape, double phase) {
  Tensor tensor(std::move(shape));
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    tensor.data()[i] = static_cast<float>(std::sin(phase + 1.7 * static_cast<double>(i)));
  return tensor;
}

/// A convolution of two groups and a dense layer: 4x4x4 -> 6x4x4 -> 5.
nn::Graph network() {
  nn::Graph graph;
  graph.name = "grouped";
  const nn::ValueId x = graph.add_value("x");
  graph.inputs.push_back({.value = x, .type = nn::ElementType::float32, .shape = {-1, 4, 4, 4}, .batched = true});
  const nn::ValueId w1 = graph.add_value("w1", waves({6, 2, 3, 3}, 0.3));
  const nn::ValueId b1 = graph.add_value("b1", waves({6}, 0.9));
  const nn::ValueId w2 = graph.add_value("w2", waves({5, 96}, 1.1));
  const nn::ValueId h = graph.add_value("h"), f = graph.add_value("f"), y = graph.add_value("y");
  graph.nodes.push_back({.name = "conv",
                         .op = "Conv",
                         .inputs = {x, w1, b1},
                         .outputs = {h},
                         .attributes = {{"group", std::int64_t{2}},
                                        {"kernel_shape", std::vector<std::int64_t>{3, 3}},
                                        {"pads", std::vector<std::int64_t>{1, 1, 1, 1}}}});
  graph.nodes.push_back({.name = "flatten", .op = "Flatten", .inputs = {h}, .outputs = {f}, .attributes = {}});
  graph.nodes.push_back(
      {.name = "fc", .op = "Gemm", .inputs = {f, w2}, .outputs = {y}, .attributes = {{"transB", std::int64_t{1}}}});
  graph.outputs = {y};
  nn::validate(graph);
  return graph;
}

io::DataSet data(std::int64_t samples) {
  std::vector<std::int32_t> labels;
  for (std::int64_t s = 0; s < samples; ++s) labels.push_back(static_cast<std::int32_t>(s % 5));
  return io::DataSet(waves({samples, 4, 4, 4}, 0.4), std::move(labels));
}

LayerParameters pcm(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.rpu.forward.bound_management = tile::BoundManagementType::NONE;
  layer.rpu.mapping.weight_scaling_omega = 1.0;
  layer.rpu.mapping.max_input_size = 40;
  layer.device = device::DeviceParameters{.noise_model = device::PCMLikeNoiseModel{}};
  layer.drift_compensation = device::GlobalDriftCompensation{};
  return layer;
}

/// Everything about the tiles of a chip at one moment.
struct State {
  std::vector<std::vector<float>> weights;
  std::vector<std::vector<float>> alpha;
  bool operator==(const State&) const = default;
};

State state_of(const AnalogNetwork& chip, std::size_t layers = 2) {
  State state;
  for (std::size_t l = 0; l < layers; ++l) {
    for (std::size_t p = 0; p < chip.part_count(l); ++p) {
      for (std::int64_t t = 0; t < chip.part(l, p).tile_count(); ++t) {
        const Matrix weights = chip.part(l, p).tile_weights(t);
        state.weights.emplace_back(weights.values().begin(), weights.values().end());
        state.alpha.push_back(chip.part(l, p).tile_report(t).alpha);
      }
    }
  }
  return state;
}

struct Evaluated {
  EvaluationResult result;
  std::vector<State> states;  ///< by point
  int programmed = 0;
};

Evaluated run(const EvaluationParameters& evaluation, int threads = 1, const LayerResolver& resolve = pcm,
              std::int64_t memory = std::int64_t{1} << 30, bool statistics = true) {
  const nn::Executor executor(network());
  const io::DataSet samples = data(11);
  const EvaluationRequest request{.executor = executor,
                                  .data = samples,
                                  .batch_size = 4,
                                  .seed = 5,
                                  .evaluation = evaluation,
                                  .resolve = resolve,
                                  .statistics = statistics,
                                  .record_output = {},
                                  .memory_bytes = memory};
  Evaluated evaluated;
  EvaluationSink sink;
  sink.begin = [&](const PointIndex&, const AnalogNetwork& chip) { evaluated.states.push_back(state_of(chip)); };
  sink.programmed = [&](std::int64_t program, const ProgrammedChip&) { EXPECT_EQ(program, evaluated.programmed++); };
  evaluated.result = evaluate(request, sink, Parallel{threads}, {});
  return evaluated;
}

/// The state and the scores of one point in two evaluations.
void expect_same_point(const Evaluated& a, std::size_t i, const Evaluated& b, std::size_t j) {
  EXPECT_EQ(a.states.at(i), b.states.at(j));
  const PointResult& x = a.result.points.at(i);
  const PointResult& y = b.result.points.at(j);
  EXPECT_EQ(x.score.correct, y.score.correct);
  EXPECT_EQ(x.score.loss_sum, y.score.loss_sum);
  for (std::size_t l = 0; l < x.layers.size(); ++l)
    EXPECT_EQ(x.layers[l].cumulative.sum_error_squared, y.layers[l].cumulative.sum_error_squared);
}

TEST(ProgrammedChipTest, TheSameChipWhetherOrNotOtherTimesAreSimulated) {
  const Evaluated both = run({.repeats = 2, .read_repeats = 2, .times = {hour, year}});
  ASSERT_EQ(both.states.size(), 8U);  // chip by chip, time by time, read by read
  const Evaluated late = run({.repeats = 2, .read_repeats = 2, .times = {year}});
  const Evaluated early = run({.repeats = 2, .read_repeats = 2, .times = {hour}});
  const Evaluated reversed = run({.repeats = 2, .read_repeats = 2, .times = {year, 1.0, hour}});
  for (const std::size_t chip : {0U, 1U}) {
    for (const std::size_t read : {0U, 1U}) {
      expect_same_point(both, 4 * chip + read, early, 2 * chip + read);
      expect_same_point(both, 4 * chip + 2 + read, late, 2 * chip + read);
      expect_same_point(both, 4 * chip + read, reversed, 6 * chip + 4 + read);
      expect_same_point(both, 4 * chip + 2 + read, reversed, 6 * chip + read);
    }
  }
}

TEST(ProgrammedChipTest, NeitherOtherReadsNorOtherChipsMatter) {
  const Evaluated many = run({.repeats = 3, .read_repeats = 3, .times = {hour}});
  const Evaluated few = run({.repeats = 2, .read_repeats = 1, .times = {hour}});
  expect_same_point(many, 0, few, 0);
  expect_same_point(many, 3, few, 1);
}

TEST(ProgrammedChipTest, ChipsTimesAndReadsAreDifferent) {
  const Evaluated evaluated = run({.repeats = 2, .read_repeats = 2, .times = {hour, year}});
  for (std::size_t i = 0; i < evaluated.states.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NE(evaluated.states[i].weights, evaluated.states[j].weights) << i << " " << j;
      EXPECT_NE(evaluated.states[i].alpha, evaluated.states[j].alpha) << i << " " << j;
    }
  }
}

TEST(ProgrammedChipTest, SameBitsForAnyThreadsAndMemory) {
  const EvaluationParameters evaluation{.repeats = 2, .read_repeats = 2, .times = {hour, year}};
  const Evaluated one = run(evaluation, 1);
  for (const int threads : {2, 3}) {
    const Evaluated more = run(evaluation, threads, pcm, 1);
    for (std::size_t i = 0; i < 8; ++i) expect_same_point(one, i, more, i);
  }
}

/// What depends neither on time nor on read happens once: chips are programmed once each, and the float32 network sees
/// each sample once, if the chips fit into memory (or, without statistics, in any case).
TEST(ProgrammedChipTest, WorkIsDoneOnce) {
  const EvaluationParameters evaluation{.repeats = 2, .read_repeats = 3, .times = {1.0, hour, year}};
  const Evaluated roomy = run(evaluation);
  EXPECT_EQ(roomy.programmed, 2);
  EXPECT_EQ(roomy.result.reference_samples, 11);
  EXPECT_EQ(roomy.result.analog_samples, 11 * 18);
  const Evaluated tight = run(evaluation, 1, pcm, 1, false);
  EXPECT_EQ(tight.programmed, 2);
  EXPECT_EQ(tight.result.reference_samples, 11);
}

TEST(ProgrammedChipTest, RightAfterProgrammingNothingIsReadOrCompensated) {
  const Evaluated evaluated = run({.repeats = 1, .read_repeats = 2, .times = {}});
  EXPECT_EQ(evaluated.states[0], evaluated.states[1]) << "reads differ in the noise of passes only";
  for (const auto& alpha : evaluated.states[0].alpha) EXPECT_TRUE(alpha.empty());
  EXPECT_NE(evaluated.result.points[0].score.loss_sum, evaluated.result.points[1].score.loss_sum);
}

/// With all noise off and one exponent nu for all, every conductance shrinks by (1 + t / t_0)^-nu, and an ideal
/// read-out finds exactly the inverse.
TEST(ProgrammedChipTest, CompensationInvertsADriftThatAllDevicesShare) {
  const LayerResolver resolve = [](const std::string& name, const std::string& op) {
    LayerParameters layer = pcm(name, op);
    layer.rpu.forward.is_perfect = true;
    layer.device->noise_model = device::StateIndependentNoiseModel{
        .prog_noise_scale = 0.0, .read_noise_scale = 0.0, .drift_nu_mean = 0.1, .drift_nu_std = 0.0};
    return layer;
  };
  const Evaluated evaluated = run({.repeats = 1, .read_repeats = 1, .times = {year}}, 1, resolve);
  const double alpha = std::pow(1.0 + year / 20.0, 0.1);
  for (const auto& factors : evaluated.states[0].alpha)
    for (const float factor : factors) EXPECT_NEAR(factor, alpha, 1e-4 * alpha);
  for (const LayerResult& layer : evaluated.result.points[0].layers) EXPECT_GT(layer.cumulative.sqnr_db(), 90.0);
}

/// 40 reads of one tile at one time: the noise of two read-outs is never the same, and that of the baseline neither.
TEST(ProgrammedChipTest, EveryReadOutHasItsOwnNoise) {
  const LayerResolver resolve = [](const std::string& name, const std::string& op) {
    LayerParameters layer = pcm(name, op);
    layer.device->noise_model = device::PCMLikeNoiseModel{.read_noise_scale = 0.0, .drift_scale = 0.0};
    layer.rpu.forward.out_res = -1.0;  // ADC codes would make equal means
    return layer;
  };
  const nn::Executor executor(network());
  const ProgrammedChip chip(executor, resolve, {3, 0, {}});
  std::set<float> factors;
  for (std::uint32_t read = 0; read < 40; ++read)
    factors.insert(chip.at(0.0, read, {}).part(1, 0).tile_report(0).alpha.at(0));
  EXPECT_GE(factors.size(), 39U) << "float32 factors near 1 may coincide by chance once";
  EXPECT_FALSE(factors.contains(1.0F)) << "a read-out with the baseline's noise would give exactly 1";
}

class FaultMapTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / "tessera_fault_maps";
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  /// Only the layer `name` has the map.
  static LayerResolver with_map(const std::string& name, const std::string& file) {
    return [name, file](const std::string& layer, const std::string& op) {
      LayerParameters parameters = pcm(layer, op);
      parameters.device->noise_model =
          device::PCMLikeNoiseModel{.prog_noise_scale = 0.0, .read_noise_scale = 0.0, .drift_scale = 0.0};
      parameters.drift_compensation.reset();
      if (layer == name) parameters.fault_map = file;
      return parameters;
    };
  }
  static std::string error_of(const LayerResolver& resolve) {
    try {
      read_fault_maps(nn::Executor(network()), resolve);
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  }

 private:
  std::filesystem::path folder_;
};

/// Both devices of a weight stuck at zero make it zero, at any time; all other weights keep their value.
TEST_F(FaultMapTest, StuckDevicesStandWhereTheMapSays) {
  const nn::Executor executor(network());
  Tensor fc({2, 5, 96});
  const std::set<std::pair<std::int64_t, std::int64_t>> stuck{{0, 0}, {3, 39}, {3, 40}, {4, 95}};
  for (const auto& [output, input] : stuck)
    for (std::int64_t d = 0; d < 2; ++d) fc.data()[(d * 5 + output) * 96 + input] = 1.0F;
  io::write_npy(path("fc.npy"), fc);
  const ProgrammedChip chip(executor, with_map("fc", path("fc.npy")), {1, 0, {}});
  ASSERT_GT(chip.tile_count(1, 0), 1);
  for (const std::optional<double> time : {std::optional<double>(), std::optional<double>(year)}) {
    const Matrix weights = chip.at(time, 0, {}).part(1, 0).logical_weights();
    const Matrix target = executor.layers()[1].parts[0].weight.matrix();
    for (std::int64_t o = 0; o < 5; ++o)
      for (std::int64_t i = 0; i < 96; ++i)
        EXPECT_NEAR(weights(o, i), stuck.contains({o, i}) ? 0.0F : target(o, i), 1e-5) << o << " " << i;
  }
}

/// A grouped convolution: one array for the layer, its groups one behind the other, or one for each group.
TEST_F(FaultMapTest, PartsOfALayerAndHdf5) {
  const nn::Executor executor(network());
  Tensor whole({2, 6, 18});
  for (std::int64_t d = 0; d < 2; ++d) whole.data()[(d * 6 + 4) * 18 + 7] = 1.0F;  // output 1 of the second group
  Tensor group({2, 3, 18});
  for (std::int64_t d = 0; d < 2; ++d) group.data()[(d * 3 + 1) * 18 + 7] = 1.0F;
  {
    h5::File file = h5::File::create(path("whole.h5"));
    file.create_dataset("conv", h5::ElementType::float32, whole.shape()).write(std::span<const float>(whole.values()));
  }
  {
    h5::File file = h5::File::create(path("parts.h5"));
    const Tensor none({2, 3, 18});
    file.create_dataset("conv.group0", h5::ElementType::float32, none.shape())
        .write(std::span<const float>(none.values()));
    file.create_dataset("conv.group1", h5::ElementType::float32, group.shape())
        .write(std::span<const float>(group.values()));
  }
  for (const char* name : {"whole.h5", "parts.h5"}) {
    const ProgrammedChip chip(executor, with_map("conv", path(name)), {1, 0, {}});
    const AnalogNetwork now = chip.at({}, 0, {});
    const Matrix first = now.part(0, 0).logical_weights();
    const Matrix second = now.part(0, 1).logical_weights();
    EXPECT_EQ(std::count(first.values().begin(), first.values().end(), 0.0F), 0);
    EXPECT_EQ(std::count(second.values().begin(), second.values().end(), 0.0F), 1);
    EXPECT_EQ(second(1, 7), 0.0F);
  }
}

TEST_F(FaultMapTest, MapsThatDoNotFitAreRefused) {
  io::write_npy(path("narrow.npy"), Tensor({2, 5, 95}));
  EXPECT_THAT(error_of(with_map("fc", path("narrow.npy"))),
              testing::AllOf(HasSubstr("layer 'fc': fault map '"), HasSubstr("narrow.npy"),
                             HasSubstr("its shape is 2x5x95, but the layer needs 2x5x96: devices per weight, outputs, "
                                       "inputs")));
  io::write_npy(path("flat.npy"), Tensor({2, 480}));
  EXPECT_THAT(error_of(with_map("fc", path("flat.npy"))), HasSubstr("its shape is 2x480"));
  Tensor wrong({2, 5, 96});
  wrong.data()[3] = 3.0F;
  io::write_npy(path("three.npy"), wrong);
  EXPECT_THAT(error_of(with_map("fc", path("three.npy"))), HasSubstr("a fault map holds 0 (none), 1 (stuck at zero)"));
  EXPECT_THAT(error_of(with_map("fc", path("missing.npy"))), HasSubstr("missing.npy"));
  h5::File::create(path("empty.h5")).close();
  EXPECT_THAT(error_of(with_map("fc", path("empty.h5"))), HasSubstr("it has no data set 'fc'"));
  EXPECT_EQ(error_of(with_map("no such layer", path("missing.npy"))), "no error");
}

/// Records against the same quantities computed from the tiles themselves.
TEST(DeviceRecordTest, HoldsWhatTheTilesHold) {
  const LayerResolver resolve = [](const std::string& name, const std::string& op) {
    LayerParameters layer = pcm(name, op);
    layer.drift_compensation = device::PerColumnDriftCompensation{};
    layer.device->faults = {.stuck_at_zero_rate = 0.1, .stuck_at_max_rate = 0.05};
    return layer;
  };
  const nn::Executor executor(network());
  const ProgrammedChip chip(executor, resolve, {9, 1, {}});
  const results::LayerProgramming programming = programming_record(chip, 1, {});
  EXPECT_EQ(programming.g_max, 25.0);
  std::int64_t devices = 0, stuck = 0;
  double error = 0.0;
  for (std::int64_t t = 0; t < chip.tile_count(1, 0); ++t) {
    const device::ProgrammedState& state = *chip.programmed(1, 0, t);
    for (std::size_t i = 0; i < state.conductances.size(); ++i) {
      const auto count = static_cast<std::size_t>(state.weight_count());
      const double w = static_cast<double>(state.target.values()[i % count]) * state.conversion.uS_per_weight;
      error += static_cast<double>(state.conductances[i]) - std::max(0.0, i < count ? w : -w);
      stuck += state.faults[i] != device::Fault::none ? 1 : 0;
      ++devices;
    }
  }
  EXPECT_EQ(devices, 2 * 5 * 96);
  EXPECT_GT(stuck, 50);
  EXPECT_NEAR(programming.error_mean, error / static_cast<double>(devices), 1e-5);
  EXPECT_DOUBLE_EQ(programming.stuck_fraction, static_cast<double>(stuck) / static_cast<double>(devices));
  EXPECT_EQ(programming.pulses, 1.0);
  EXPECT_EQ(std::accumulate(programming.histogram.begin(), programming.histogram.end(), std::int64_t{0}), devices);
  EXPECT_EQ(std::accumulate(programming.target_histogram.begin(), programming.target_histogram.end(), std::int64_t{0}),
            devices);
  EXPECT_NE(programming.histogram, programming.target_histogram);

  const AnalogNetwork now = chip.at(year, 0, {});
  const results::LayerWeights record = weights_record(now, 1);
  double product = 0.0, power = 0.0, error_power = 0.0;
  std::vector<float> factors;
  const tile::AnalogLayer& layer = now.part(1, 0);
  for (std::int64_t t = 0; t < layer.tile_count(); ++t) {
    const Matrix target = layer.target_tile_weights(t), read = layer.tile_weights(t);
    const std::vector<float> alpha = layer.tile_report(t).alpha;
    ASSERT_EQ(alpha.size(), 5U);
    factors.insert(factors.end(), alpha.begin(), alpha.end());
    for (std::int64_t o = 0; o < 5; ++o) {
      for (std::int64_t i = 0; i < target.cols(); ++i) {
        const auto w = static_cast<double>(target(o, i)), r = static_cast<double>(read(o, i));
        product += w * r;
        power += w * w;
        error_power += std::pow(static_cast<double>(alpha[static_cast<std::size_t>(o)]) * r - w, 2);
      }
    }
  }
  EXPECT_EQ(record.column_alpha, factors);
  ASSERT_EQ(std::ssize(record.alpha), layer.tile_count());
  EXPECT_NEAR(record.gain, product / power, 1e-6);
  EXPECT_LT(record.gain, 0.7) << "a year of drift";
  EXPECT_NEAR(record.error, std::sqrt(error_power / (5.0 * 96.0)), 1e-6);
  EXPECT_NEAR(record.sqnr_db, 10.0 * std::log10(power / error_power), 1e-4);
}

}  // namespace
}  // namespace tessera::sim
