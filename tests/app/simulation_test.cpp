// Does the library do what the commands do, without files where none is asked for, and can it be watched and stopped?
#include "tessera/app/simulation.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "tessera/app/report.hpp"
#include "tessera/core/error.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/schema.hpp"

namespace tessera::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SimulationTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "tessera_app_XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  bool folder_is_empty() const { return std::filesystem::is_empty(folder_); }

  /// A small network that is quick, as text in a folder of its own.
  static Simulation small(const std::string& more = "", const std::vector<std::string>& overrides = {}) {
    return Simulation::parse(
        "base: quickstart.yaml\ndata: {limit: 24}\nevaluation: {repeats: 2}\n"
        "output: {record: {statistics: true, predictions: true, tensors: [fc1]}}\n" +
            more,
        "small.yaml", TESSERA_SOURCE_DIR + "/configs", overrides);
  }
  /// Differences between a file and one in memory.
  std::vector<std::string> differences(const std::string& file, const ResultFile& memory) const {
    memory.save(path("memory.h5"));
    return results::compare(file, path("memory.h5"));
  }

  std::string folder_;
};

const std::string small_sweep = "sweep: {axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 4]}}\n";

TEST_F(SimulationTest, ARunInMemoryIsTheFile) {
  const RunResult file = small().run({path("file.h5")});
  const RunResult memory = small().run();
  EXPECT_TRUE(memory.file.in_memory());
  EXPECT_FALSE(file.file.in_memory());
  EXPECT_THAT(differences(path("file.h5"), memory.file), IsEmpty());
  EXPECT_THAT(results::check_schema(memory.file.open()), IsEmpty());
  const results::NamedArray accuracy = memory.file.reader().read("/accuracy");
  EXPECT_THAT(accuracy.dims, ElementsAre("time", "repeat"));
  ASSERT_EQ(memory.evaluation.points.size(), 2U);
  EXPECT_EQ(accuracy.values.front(), memory.evaluation.points.front().score.accuracy());
}

TEST_F(SimulationTest, MemoryTellsADifference) {
  const RunResult file = small("", {"seed=1"}).run({path("file.h5")});
  EXPECT_FALSE(differences(path("file.h5"), small("", {"seed=2"}).run().file).empty());
}

TEST_F(SimulationTest, ASweepInMemoryIsTheFileAndLeavesNothing) {
  const SweepResult memory = small(small_sweep).sweep();
  EXPECT_TRUE(folder_is_empty());
  EXPECT_EQ(memory.summary.computed, 2);
  EXPECT_EQ(memory.summary.missing, 0);
  small(small_sweep).sweep({path("file.h5")});
  EXPECT_THAT(differences(path("file.h5"), memory.file), IsEmpty());
  EXPECT_THAT(memory.file.reader().read("/accuracy").dims, ElementsAre("n_bits", "time", "repeat"));
}

TEST_F(SimulationTest, ASweepWithAStopRuleReadsItsChipsFromMemory) {
  const std::string stopping =
      "sweep: {axes: {rpu_config.forward.out_noise: [0.02, 0.2]}, stop: {half_width: 2, max_repeats: 4}}\n";
  const SweepResult memory = small(stopping).sweep();
  small(stopping).sweep({path("file.h5")});
  EXPECT_THAT(differences(path("file.h5"), memory.file), IsEmpty());
}

TEST_F(SimulationTest, TellsProgressAndMessages) {
  std::int64_t last = 0, total = 0;
  std::vector<std::string> notes;
  Execution execution;
  execution.environment.progress = [&](std::int64_t done, std::int64_t all, const char*) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
  };
  execution.environment.message = [&](Severity, const std::string& text) { notes.push_back(text); };
  small("", {"rpu_config.update={desired_bl: 3}"}).run({}, execution);
  EXPECT_EQ(last, total);
  EXPECT_GT(total, 0);
  EXPECT_THAT(notes, testing::Contains(HasSubstr("no effect: rpu_config.update")));
}

TEST_F(SimulationTest, ACancelledRunHoldsWhatIsFinished) {
  std::atomic<bool> cancel{false};
  Execution execution;
  execution.environment.cancel = &cancel;
  execution.environment.progress = [&](std::int64_t done, std::int64_t all, const char*) {
    if (done * 2 > all) cancel = true;
  };
  const RunResult result = small("", {"evaluation.repeats=6", "data.batch_size=8"}).run({}, execution);
  EXPECT_FALSE(result.evaluation.complete);
  EXPECT_LT(result.evaluation.points.size(), 6U);
  EXPECT_FALSE(result.file.reader().complete());
  EXPECT_THAT(results::check_schema(result.file.open()), IsEmpty());
}

TEST_F(SimulationTest, ThreadsDoNotChangeTheFile) {
  Execution one, two;
  one.parallel.threads = 1;
  two.parallel.threads = 2;
  small().run({path("one.h5")}, one);
  EXPECT_THAT(differences(path("one.h5"), small().run({}, two).file), IsEmpty());
}

TEST_F(SimulationTest, ProblemsHaveThePositionInTheText) {
  try {
    small("rpu_config: {forward: {out_nois: 1}}\nlayers: [{match: fc9, analog: false}]\n").config();
    FAIL() << "an unknown key was taken";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("small.yaml:5:24: rpu_config.forward.out_nois"));
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'out_noise'"));
  }
  try {
    small("layers: [{match: fc9, analog: false}]\n").open();
    FAIL() << "a rule for no layer was taken";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("small.yaml:5:"));
  }
}

TEST_F(SimulationTest, CalibrationAndTrainingGiveModelsWithoutFiles) {
  const CalibrationResult calibrated = small("calibration: {samples: 16}\n").calibrate();
  EXPECT_FALSE(calibrated.layers.empty());
  EXPECT_FALSE(calibrated.model.calibration.empty());
  const TrainingResult trained =
      small("training: {digital_epochs: 1, analog_epochs: 0, data: {format: glyphs, scale: 0.0039, limit: 16}}\n")
          .train();
  EXPECT_TRUE(trained.training.complete);
  EXPECT_EQ(trained.curves.epochs.size(), 1U);
  EXPECT_TRUE(folder_is_empty());
}

TEST_F(SimulationTest, ADiagnosisAndASearchAreRecordsInMemory) {
  const DiagnosisResult diagnosis = small("", {"evaluation.repeats=1"}).diagnose();
  EXPECT_TRUE(diagnosis.diagnosis.ideal_is_ideal());
  const h5::File file = h5::File::open_image(results::diagnosis_image(diagnosis.record), "diagnosis");
  EXPECT_EQ(file.attribute<std::string>("filetype"), results::diagnosis_filetype);
  const SearchResult search =
      small("search: {keys: [rpu_config.pre_post.periph_quant.n_bits], bits: [6, 4], layers: [fc1], budget: 50}\n",
            {"evaluation.repeats=1"})
          .search();
  EXPECT_FALSE(search.record.points.empty());
  EXPECT_THAT(search.configuration, HasSubstr("Found by tessera search from small.yaml"));
  EXPECT_TRUE(folder_is_empty());
}

}  // namespace
}  // namespace tessera::app
