// Do crossbars go through sweeps, searches and training as any configuration does?
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "tessera/app/simulation.hpp"
#include "tessera/core/error.hpp"

namespace tessera::app {
namespace {

using testing::HasSubstr;

/// Pairs with wires of 10 ohm and converters of 8 bits, on a few images.
Simulation on_crossbars(const std::string& more = "", const std::vector<std::string>& overrides = {}) {
  return Simulation::parse(
      "base: crossbar/train_wires.yaml\ndata: {limit: 20}\nevaluation: {repeats: 2}\n"
      "output: {record: {statistics: true}}\n"
      "rpu_config: {crossbar: {xbar: {device: {read_noise: {enable: true, model: NormalProportionalDevice, magnitude: "
      "0.05},\n"
      "  programming_error: {enable: true, model: NormalProportionalDevice, magnitude: 0.1}}}}}\n" +
          more,
      "crossbars.yaml", TESSERA_SOURCE_DIR + "/configs", overrides);
}

TEST(CrossbarSimulation, PointsOfASweepAreRunsOfTheirOwn) {
  const std::string wires = "rpu_config.crossbar.xbar.array.parasitics.Rp_row";
  const SweepResult sweep = on_crossbars("sweep: {axes: {" + wires + ": [0, 30]}}\n").sweep();
  ASSERT_EQ(sweep.summary.missing, 0);
  const results::Reader swept = sweep.file.reader();
  std::vector<double> mse;
  for (std::size_t point = 0; point < 2; ++point) {
    const RunResult alone = on_crossbars("", {wires + "=" + (point == 0 ? "0" : "30")}).run();
    for (const std::string name : {"/accuracy", "/loss", "/layers/fc1/mse", "/layers/fc1/adc_saturation_fraction",
                                   "/layers/fc1/slice_codes_used", "/layers/fc1/ir_drop_map"}) {
      const std::vector<double> whole = swept.read(name).values, one = alone.file.reader().read(name).values;
      ASSERT_EQ(whole.size(), 2 * one.size()) << name;
      const auto part = whole.begin() + static_cast<std::ptrdiff_t>(point * one.size());
      for (std::size_t i = 0; i < one.size(); ++i)
        EXPECT_TRUE(part[static_cast<std::ptrdiff_t>(i)] == one[i] || std::isnan(one[i])) << name << " " << i;
      if (name == "/layers/fc1/mse") mse.push_back(one.front());
    }
  }
  EXPECT_GT(mse[1], mse[0]);
}

TEST(CrossbarSimulation, ConverterBitsAreSearched) {
  const std::string key = "rpu_config.crossbar.xbar.adc.mvm.bits";
  const SearchResult search =
      on_crossbars("search: {keys: [" + key + "], bits: [8, 7, 1], layers: [fc1, fc2], budget: 20 %}\n").search();
  ASSERT_FALSE(search.record.points.empty());
  EXPECT_TRUE(search.record.complete);
  const results::SearchPointRecord& given = search.record.points.front();
  const results::SearchPointRecord& found = search.record.points[static_cast<std::size_t>(search.record.found)];
  EXPECT_LT(found.cost, given.cost);
  EXPECT_TRUE(found.within);
  // A comparator instead of a converter is beyond the budget.
  EXPECT_TRUE(std::ranges::any_of(search.record.points, [](const auto& point) { return !point.within; }));
  EXPECT_THAT(search.configuration, HasSubstr("bits"));
}

TEST(CrossbarSimulation, TrainingThroughWiresLowersTheLoss) {
  const TrainingResult trained =
      on_crossbars("training: {digital_epochs: 0, analog_epochs: 3, batch_size: 20, data: {limit: 120}}\n",
                   {"rpu_config.crossbar.xbar.array.parasitics.Rp_row=20", "data.limit=60"})
          .train();
  ASSERT_TRUE(trained.training.complete);
  ASSERT_EQ(trained.curves.epochs.size(), 3U);
  const results::TrainingEpoch &first = trained.curves.epochs.front(), &last = trained.curves.epochs.back();
  EXPECT_TRUE(first.analog);
  EXPECT_LT(last.loss, first.loss);
  EXPECT_GT(last.gradient_norm, 0.0);
}

}  // namespace
}  // namespace tessera::app
