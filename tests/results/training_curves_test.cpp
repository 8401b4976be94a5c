// Do the curves of a training come back as they were written, and does the page say what the file holds?
#include "tessera/results/training_curves.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "h5/temporary_directory.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::results {
namespace {

using ::testing::ElementsAre;

class TrainingCurvesTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  const std::string path_ = ::testing::TempDir() + "tessera_training_curves_test.h5";
};

/// Everything measured, so that == compares it.
TrainingEpoch full_epoch(double x) {
  return {.analog = x > 1.0,
          .loss = x,
          .accuracy = 0.5 * x,
          .learning_rate = 0.1 * x,
          .gradient_norm = 3.0 * x,
          .reference_accuracy = 0.25 * x,
          .reference_loss = 2.0 * x,
          .validation_accuracy = {x, x + 1, x + 2, x + 3, x + 4, x + 5},
          .validation_loss = {0, x, 0, x, 0, x},
          .best = x == 2.0,
          .seconds = 7.0};
}

TrainingCurves example() {
  TrainingCurves curves{.seed = 7,
                        .rng_layout = 1,
                        .task_id = "abc",
                        .command = "tessera train x.yaml",
                        .config_text = "a: 1\n",
                        .resolved_text = "a: 1\nb: 2\n",
                        .times = {0.0, 3600.0, 86400.0},
                        .chips = 2,
                        .epochs = {}};
  curves.epochs = {full_epoch(1.0), full_epoch(2.0)};
  return curves;
}

TEST_F(TrainingCurvesTest, ComeBack) {
  write_training_curves(example(), path_);
  EXPECT_EQ(read_training_curves(path_), example());
}

TEST_F(TrainingCurvesTest, GapsAreMissingValues) {
  TrainingCurves curves = example();
  curves.epochs[0].validation_accuracy.clear();
  curves.epochs[0].validation_loss.clear();
  curves.epochs[1].accuracy = missing;
  write_training_curves(curves, path_);
  const TrainingCurves read = read_training_curves(path_);
  EXPECT_THAT(read.epochs[0].validation_accuracy, ::testing::IsEmpty());
  EXPECT_TRUE(std::isnan(read.epochs[1].accuracy));
  const h5::File file = h5::File::open(path_);
  const h5::Dataset accuracy = file.dataset("validation_accuracy");
  EXPECT_THAT(accuracy.shape(), ElementsAre(2, 3, 2));
  EXPECT_THAT(h5::dimension_names(accuracy), ElementsAre("epoch", "time", "chip"));
  EXPECT_TRUE(accuracy.has_attribute("_FillValue"));
  EXPECT_TRUE(std::isnan(accuracy.read<double>().front()));
}

TEST_F(TrainingCurvesTest, RefusesWhatDoesNotFit) {
  TrainingCurves curves = example();
  curves.epochs[1].validation_loss.pop_back();
  EXPECT_THROW(write_training_curves(curves, path_), RunError);
  EXPECT_FALSE(std::filesystem::exists(path_));
  h5::File::create(path_).close();
  EXPECT_THROW(read_training_curves(path_), InputError);
}

TEST(TrainingPage, NamesEveryVariableAndIsUpToDate) {
  const std::string file = TESSERA_SOURCE_DIR + "/docs/formats/training.md";
  if (std::getenv("TESSERA_UPDATE_DOCS") != nullptr) testing::write_bytes(file, training_page());
  EXPECT_EQ(testing::read_bytes(file), training_page()) << "rewrite it with TESSERA_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace tessera::results
