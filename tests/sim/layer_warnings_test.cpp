// Is a user told when a layer's inputs or outputs are cut off, with layer, figure and remedy, and is he left in peace
// when they are not? And does the telling change nothing?
#include "tessera/sim/layer_warnings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nn/network.hpp"
#include "sim/small_network.hpp"
#include "tessera/sim/calibrate.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/sim/layer_calibration.hpp"

namespace tessera::sim {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// Inputs are cosines, of magnitude up to 1.
LayerResolver tiles(double input_range, double out_bound = 100.0) {
  return [=](const std::string&, const std::string&) {
    LayerParameters layer;
    layer.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
    layer.rpu.forward.bound_management = tile::BoundManagementType::NONE;
    layer.rpu.forward.out_bound = out_bound;
    layer.rpu.pre_post.input_range.enable = input_range > 0.0;
    if (input_range > 0.0) layer.rpu.pre_post.input_range.init_value = input_range;
    return layer;
  };
}

struct Said {
  std::vector<std::string> warnings;
  Environment environment() {
    return {.message =
                [this](Severity severity, const std::string& text) {
                  if (severity == Severity::warning) warnings.push_back(text);
                },
            .progress = {}};
  }
};

class LayerWarningsTest : public testing::Test {
 protected:
  std::vector<std::string> warnings(const LayerResolver& resolve, bool statistics, std::int64_t batch_size = 32) const {
    Said said;
    const EvaluationRequest request{.executor = executor_,
                                    .data = data_,
                                    .batch_size = batch_size,
                                    .seed = 1,
                                    .evaluation = {.repeats = 2, .times = {}},
                                    .resolve = resolve,
                                    .statistics = statistics,
                                    .record_output = {}};
    evaluate(request, {}, {2}, said.environment());
    return said.warnings;
  }

  const nn::Executor executor_{test::small_network()};
  const io::DataSet data_ = test::small_data(200);
};

TEST_F(LayerWarningsTest, AnInitialRangeThatClips) {
  for (const bool statistics : {true, false}) {
    EXPECT_THAT(warnings(tiles(0.5), statistics),
                ElementsAre(AllOf(HasSubstr("layer 'fc1'"), HasSubstr("67 % of its inputs"), HasSubstr("range 0.5"),
                                  HasSubstr("initial value"), HasSubstr("tessera calibrate")),
                            AllOf(HasSubstr("layer 'fc2'"), HasSubstr("initial value"))));
    EXPECT_THAT(warnings(tiles(1.0), statistics), ElementsAre(HasSubstr("layer 'fc2'"))) << "fc1 is not clipped";
    EXPECT_THAT(warnings(tiles(20.0), statistics), IsEmpty());
    EXPECT_THAT(warnings(tiles(0.0), statistics), IsEmpty()) << "no input range";
  }
}

/// 64 samples decide where nothing is counted for statistics, whatever the batch size.
TEST_F(LayerWarningsTest, TheSameWhateverTheBatchSize) {
  const std::vector<std::string> expected = warnings(tiles(0.9), false, 64);
  EXPECT_THAT(expected, Not(IsEmpty()));
  for (const std::int64_t batch_size : {1, 7, 100, 1000}) EXPECT_EQ(warnings(tiles(0.9), false, batch_size), expected);
  for (const std::int64_t batch_size : {7, 1000})
    EXPECT_EQ(warnings(tiles(0.9), true, batch_size), warnings(tiles(0.9), true, 64));
}

TEST_F(LayerWarningsTest, OutputsThatSaturate) {
  for (const bool statistics : {true, false}) {
    EXPECT_THAT(warnings(tiles(0.0, 0.3), statistics),
                ElementsAre(AllOf(HasSubstr("layer 'fc1'"), HasSubstr("% of its ADC conversions"),
                                  HasSubstr("out_bound 0.3"), HasSubstr("bound_management")),
                            HasSubstr("layer 'fc2'")));
    EXPECT_THAT(warnings(tiles(0.0, 12.0), statistics), IsEmpty());
  }
}

tile::LayerStatistics counts(std::int64_t inputs, std::int64_t clipped, std::int64_t conversions,
                             std::int64_t saturated) {
  tile::LayerStatistics c;
  c.inputs = inputs;
  c.inputs_clipped = clipped;
  c.adc_conversions = conversions;
  c.adc_saturated = saturated;
  return c;
}

TEST_F(LayerWarningsTest, Thresholds) {
  const LayerParameters initial = tiles(1.0)("", "");
  LayerParameters found = initial, passed_on = initial;
  LayerCalibration calibration;
  calibration.parts.resize(1);
  calibration.parts[0].state.tiles.resize(2);
  calibration.parts[0].state.tiles[0].input_range = 0.25F;
  calibration.parts[0].state.tiles[1].input_range = 0.5F;
  found.calibration = std::make_shared<const LayerCalibration>(calibration);
  calibration.input_range_found = false;
  passed_on.calibration = std::make_shared<const LayerCalibration>(calibration);
  const auto troubles = [](const LayerParameters& parameters, const tile::LayerStatistics& c) {
    std::vector<LayerTrouble> result;
    for (const LayerWarning& warning : layer_warnings("fc", parameters, c)) result.push_back(warning.trouble);
    return result;
  };
  EXPECT_THAT(troubles(initial, counts(1000, 9, 1000, 0)), IsEmpty());
  EXPECT_THAT(troubles(initial, counts(1000, 10, 1000, 0)), ElementsAre(LayerTrouble::initial_range));
  EXPECT_THAT(troubles(passed_on, counts(1000, 10, 1000, 0)), ElementsAre(LayerTrouble::initial_range));
  EXPECT_THAT(troubles(found, counts(1000, 99, 1000, 99)), IsEmpty());
  EXPECT_THAT(troubles(found, counts(1000, 100, 1000, 0)), ElementsAre(LayerTrouble::clipped_inputs));
  EXPECT_THAT(layer_warnings("fc", found, counts(1000, 999, 0, 0)).at(0).text,
              AllOf(HasSubstr("100 %"), HasSubstr("0.25 to 0.5"), HasSubstr("calibrate again")));
  EXPECT_THAT(troubles(found, counts(1000, 0, 1000, 100)), ElementsAre(LayerTrouble::saturated_outputs));
  EXPECT_THAT(troubles(found, counts(0, 0, 0, 0)), IsEmpty());
  LayerParameters digital = initial;
  digital.analog = false;
  EXPECT_THAT(troubles(digital, counts(10, 10, 10, 10)), IsEmpty());
}

TEST_F(LayerWarningsTest, CalibrationSaysWhatItsRangesDo) {
  const auto said = [&](double quantile, double out_bound) {
    Said heard;
    const LayerResolver resolve = tiles(1.0, out_bound);
    calibrate({.executor = executor_,
               .data = data_,
               .seed = 1,
               .parameters = {.type = CalibrationType::CACHE_QUANTILE, .quantile = quantile, .absolute_values = true},
               .resolve = resolve},
              {}, heard.environment());
    return heard.warnings;
  };
  EXPECT_THAT(said(0.999, 100.0), IsEmpty());
  EXPECT_THAT(said(0.6, 100.0),
              ElementsAre(AllOf(HasSubstr("layer 'fc1'"), HasSubstr("40 % of its inputs")), HasSubstr("layer 'fc2'")));
  EXPECT_THAT(said(0.999, 0.1), ElementsAre(HasSubstr("ADC"), HasSubstr("ADC")));
}

/// Watching the first samples changes neither scores nor what is recorded.
TEST_F(LayerWarningsTest, ItChangesNoResult) {
  const LayerResolver noisy = [](const std::string& name, const std::string& op) {
    LayerParameters layer = tiles(0.9)(name, op);
    layer.rpu.forward.out_noise = 0.1;
    return layer;
  };
  const auto run = [&](bool statistics, std::int64_t batch_size) {
    std::vector<Tensor> outputs;
    EvaluationSink sink;
    sink.output = [&](const PointIndex&, std::size_t, std::int64_t, const Tensor& y) { outputs.push_back(y); };
    const EvaluationRequest request{.executor = executor_,
                                    .data = data_,
                                    .batch_size = batch_size,
                                    .seed = 1,
                                    .evaluation = {.repeats = 2, .times = {}},
                                    .resolve = noisy,
                                    .statistics = statistics,
                                    .record_output = {false, true}};
    const EvaluationResult result = evaluate(request, sink, {}, {});
    std::vector<float> values;
    for (const Tensor& y : outputs) values.insert(values.end(), y.values().begin(), y.values().end());
    for (const PointResult& point : result.points) EXPECT_EQ(point.layers[0].counts.vectors > 0, statistics);
    EXPECT_EQ(result.points.size(), 2U);
    std::vector<double> scores;
    for (const PointResult& point : result.points) scores.push_back(point.score.loss());
    return std::pair(scores, values);
  };
  const auto [scores, values] = run(true, 50);
  for (const std::int64_t batch_size : {50, 70, 1000}) {
    const auto [other_scores, other_values] = run(false, batch_size);
    EXPECT_EQ(other_scores, scores) << batch_size;
    std::vector<float> sorted = values, other_sorted = other_values;  // chips take turns batch by batch
    std::ranges::sort(sorted);
    std::ranges::sort(other_sorted);
    EXPECT_EQ(other_sorted, sorted) << batch_size;
  }
}

}  // namespace
}  // namespace tessera::sim
