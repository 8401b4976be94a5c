// Does a search come back as it was written, and does the page say what the file holds?
#include "tessera/results/search_record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "h5/temporary_directory.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/diagnosis_record.hpp"

namespace tessera::results {
namespace {

using ::testing::ElementsAre;

class SearchRecordTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  const std::string path_ = ::testing::TempDir() + "tessera_search_record_test.h5";
};

SearchRecord example() {
  SearchRecord record{
      .seed = 7,
      .rng_layout = 1,
      .task_id = "abc",
      .command = "tessera search x.yaml",
      .config_text = "a: 1\n",
      .resolved_text = "a: 1\nb: 2\n",
      .budget = 0.005,
      .confidence = 0.95,
      .cost_unit = "bits",
      .chips = 2,
      .samples = 3,
      .reference_accuracy = 0.75,
      .confirmed_loss = 0.001,
      .confirmed_loss_bound = 0.004,
      .layers = {"conv", "block/fc"},
      .keys = {"a.n_bits", "b.out_res"},
      .knobs = {{0, 0, 1.0, {8, 4, 2}, {50, 30, 10}}, {1, 0, 2.0, {8, 2}, {45, 12}}, {1, 1, 1.0, {6, 4}, {40, 30}}},
      .points = {},
      .found = 1,
      .complete = true};
  record.points.push_back({{0, 0, 0}, 30, 0, -0.01, 0.01, 0.008, true, true, {1, 1, 0, 1, 0.5F, 1}});
  record.points.push_back({{2, 1, 0}, 12, 0.1, 0.05, 0.2, 0.18, true, true, {1, 0, 0, 1, 0, 1}});
  return record;
}

TEST_F(SearchRecordTest, ComesBack) {
  write_search(example(), path_);
  EXPECT_EQ(read_search_record(path_), example());
}

TEST_F(SearchRecordTest, HasNamedAxesAndGaps) {
  write_search(example(), path_);
  const h5::File file = h5::File::open(path_);
  const h5::Dataset bits = file.dataset("bits");
  EXPECT_THAT(bits.shape(), ElementsAre(2, 2, 2));
  EXPECT_THAT(h5::dimension_names(bits), ElementsAre("point", "layer", "key"));
  EXPECT_THAT(h5::dimension_names(file.dataset("correct")), ElementsAre("point", "chip", "sample"));
  const std::vector<double> values = bits.read<double>();
  EXPECT_EQ(values[4], 2.0);
  EXPECT_TRUE(std::isnan(values[1])) << "conv has no second key";
  EXPECT_THAT(file.dataset("accuracy").read<double>(), ElementsAre(2.0 / 3, 2.5 / 3, 1.0 / 3, 2.0 / 3));
}

TEST_F(SearchRecordTest, RefusesWhatDoesNotFit) {
  SearchRecord record = example();
  record.points[1].correct.pop_back();
  EXPECT_THROW(write_search(record, path_), RunError);
  EXPECT_FALSE(std::filesystem::exists(path_));
  h5::File::create(path_).close();
  EXPECT_THROW(read_search_record(path_), InputError);
  record = example();
  record.found = 9;
  write_search(record, path_);
  EXPECT_THROW(read_search_record(path_), InputError);
}

TEST(DiagnosisRecordTest, ComesBackWithGapsWhereNothingIsKnown) {
  const std::string path = ::testing::TempDir() + "tessera_diagnosis_record_test.h5";
  const DiagnosisRun ideal{{0.9, 0.8}, {90, 80}, {95, 85}, {0, 0}, {0, 0}, {8, 8}};
  const DiagnosisRun noisy{{0.7, 0.7}, {9, 8}, {10, 8}, {0.1, 0}, {0, 0.2}, {7, 6}};
  DiagnosisRecord record;
  record.seed = 3;
  record.command = "tessera doctor x.yaml";
  record.chips = 2;
  record.samples = 10;
  record.layers = {"a", "b"};
  record.mechanisms = {{"none", "", true, ideal, noisy}, {"noise", "forward.out_noise", false, noisy, {}}};
  record.warnings = {"layer 'a' is loud"};
  write_diagnosis(record, path);
  const DiagnosisRecord read = read_diagnosis(path);
  EXPECT_EQ(read.mechanisms[1].alone.sqnr_db_isolated, noisy.sqnr_db_isolated);
  EXPECT_EQ(read.mechanisms[0].without.accuracy, noisy.accuracy);
  EXPECT_TRUE(std::isnan(read.mechanisms[1].without.accuracy[0]));
  EXPECT_EQ(read.warnings, record.warnings);
  EXPECT_NEAR(read.cost_alone(1).mean, 0.15, 1e-12);
  EXPECT_TRUE(std::isnan(read.gain_without(1).mean)) << "it cannot be left out";
  EXPECT_THAT(h5::dimension_names(h5::File::open(path).dataset("accuracy")),
              ElementsAre("mechanism", "variant", "chip"));
  record.mechanisms[0].alone.sqnr_db.pop_back();
  EXPECT_THROW(write_diagnosis(record, path), RunError);
  h5::File::create(path).close();
  EXPECT_THROW(read_diagnosis(path), InputError);
  std::filesystem::remove(path);
}

TEST(DiagnosisPage, IsUpToDate) {
  const std::string file = TESSERA_SOURCE_DIR + "/docs/formats/diagnosis.md";
  if (std::getenv("TESSERA_UPDATE_DOCS") != nullptr) testing::write_bytes(file, diagnosis_page());
  EXPECT_EQ(testing::read_bytes(file), diagnosis_page()) << "rewrite it with TESSERA_UPDATE_DOCS=1";
}

TEST(SearchPage, IsUpToDate) {
  const std::string file = TESSERA_SOURCE_DIR + "/docs/formats/search.md";
  if (std::getenv("TESSERA_UPDATE_DOCS") != nullptr) testing::write_bytes(file, search_page());
  EXPECT_EQ(testing::read_bytes(file), search_page()) << "rewrite it with TESSERA_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace tessera::results
