// Does search write a configuration that runs and is as accurate as it says, and refuse what cannot be searched?
#include <gmock/gmock.h>

#include "cli/command_fixture.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/search_record.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class SearchTest : public CommandTest {
 protected:
  std::string with(const std::string& search, const std::string& more = "") const {
    return write("search.yaml", "base: " + config("quickstart.yaml") +
                                    "\ndata: {limit: 200}\nevaluation: {repeats: 2}\n" + more + "search:\n" + search);
  }
  static std::string text(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  /// Accuracy by chip at the last time.
  static std::vector<double> accuracies(const std::string& file) {
    const results::NamedArray all = results::Reader(file).read("/accuracy");
    return {all.values.end() - static_cast<std::ptrdiff_t>(all.shape.back()), all.values.end()};
  }
  /// Without what is NaN here and equals nothing.
  results::SearchRecord record() const {
    results::SearchRecord read = results::read_search_record(path("found.h5"));
    read.confirmed_loss = read.confirmed_loss_bound = 0.0;
    return read;
  }
  CommandResult search(const std::string& file, std::vector<std::string> more = {}) const {
    std::vector<std::string> words{"search", file, "-o", path("found.yaml")};
    words.insert(words.end(), more.begin(), more.end());
    return run_command(words);
  }
};

const char* const two_widths = "  keys: [rpu_config.pre_post.periph_quant.n_bits]\n  bits: [2, 4, 6]\n  budget: 4 %\n";

TEST_F(SearchTest, EveryShippedSearchFindsWhatRuns) {
  int searched = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TESSERA_SOURCE_DIR + "/configs")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("search_")) continue;
    const CommandResult result = search(entry.path().string(), {"--limit", "40", "--set", "evaluation.repeats=1"});
    ASSERT_EQ(result.code, 0) << name << "\n" << result.err;
    EXPECT_GT(results::read_search_record(path("found.h5")).points.size(), 1U) << name;
    EXPECT_EQ(run_command({"run", path("found.yaml"), "--limit", "40", "-o", path("r.h5")}).code, 0) << name;
    ++searched;
  }
  EXPECT_GE(searched, 3);
}

TEST_F(SearchTest, TheFoundConfigurationRunsAndIsAsAccurateAsItSays) {
  const CommandResult result = search(with(two_widths));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("float32"), HasSubstr("Pareto front"), HasSubstr("conv1"), HasSubstr("saved")));
  const results::SearchRecord record = results::read_search_record(path("found.h5"));
  EXPECT_TRUE(record.complete);
  ASSERT_GT(record.found, 0) << result.out;
  EXPECT_LE(record.points[static_cast<std::size_t>(record.found)].loss_bound, 0.04);
  EXPECT_THAT(text(path("found.yaml")),
              AllOf(HasSubstr("# accuracy "), HasSubstr("match: conv1"), Not(HasSubstr("search:"))));

  const CommandResult run = run_command({"run", path("found.yaml"), "-o", path("again.h5")});
  ASSERT_EQ(run.code, 0) << run.err;
  const std::vector<double> again = accuracies(path("again.h5"));
  const std::vector<double> said = record.accuracy(static_cast<std::size_t>(record.found));
  ASSERT_EQ(again.size(), said.size());
  for (std::size_t c = 0; c < said.size(); ++c) EXPECT_NEAR(again[c], said[c], 1e-12);
}

TEST_F(SearchTest, TheLastTimeCounts) {
  const std::string file = with("  keys: [rpu_config.pre_post.periph_quant.n_bits]\n  bits: [4]\n  budget: 90\n",
                                "rpu_config: {noise_model: {type: PCMLikeNoiseModel}}\n");
  const CommandResult result = search(file, {"--set", "evaluation.times=[0, 31536000]"});
  ASSERT_EQ(result.code, 0) << result.err;
  ASSERT_EQ(run_command({"run", path("found.yaml"), "-o", path("again.h5"), "--quiet"}).code, 0);
  const results::SearchRecord record = results::read_search_record(path("found.h5"));
  const std::vector<double> again = accuracies(path("again.h5"));
  const std::vector<double> said = record.accuracy(static_cast<std::size_t>(record.found));
  for (std::size_t c = 0; c < said.size(); ++c) EXPECT_NEAR(again[c], said[c], 1e-12);
}

TEST_F(SearchTest, ABudgetOfZeroLeavesEverythingAsItIs) {
  const CommandResult result = search(with(two_widths), {"--set", "search.budget=0"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("nothing narrower is within the budget"));
  EXPECT_THAT(text(path("found.yaml")), HasSubstr("conv1: as given"));
  EXPECT_EQ(run_command({"run", path("found.yaml"), "-o", path("again.h5"), "--quiet", "--limit", "8"}).code, 0);
}

TEST_F(SearchTest, AnotherBudgetComputesNothingTwiceAndThreadsChangeNothing) {
  const std::string file = with(two_widths);
  ASSERT_EQ(search(file, {"--threads", "1"}).code, 0);
  const results::SearchRecord first = record();
  const CommandResult again = search(file, {"--threads", "3", "--batch-size", "77", "-v"});
  ASSERT_EQ(again.code, 0);
  EXPECT_THAT(again.err, HasSubstr("known from an earlier search"));
  EXPECT_EQ(record(), first);
  std::filesystem::remove(path("found.h5"));
  ASSERT_EQ(search(file, {"--threads", "3", "--batch-size", "77"}).code, 0);
  EXPECT_EQ(record(), first);
}

TEST_F(SearchTest, ResolutionsAreBitsOrLevelsAndRulesStay) {
  const CommandResult result =
      search(with("  keys:\n    - {key: rpu_config.forward.out_res, levels: [14, 62]}\n    - {key: "
                  "rpu_config.forward.inp_res, bits: [5]}\n"
                  "  budget: 50\n  layers: [fc*]\n  cost: bits\n  holdout: 0.25\n",
                  "layers:\n  - {match: conv1, rpu_config: {forward: {out_noise: 0.0}}}\n"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("samples that the search did not see"));
  const std::string yaml = text(path("found.yaml"));
  EXPECT_THAT(yaml, AllOf(HasSubstr("out_res 8 -> 4 bits"), HasSubstr("inp_res: 30"), HasSubstr("out_noise: 0.0"),
                          Not(HasSubstr("match: conv2"))));
  const results::SearchRecord record = results::read_search_record(path("found.h5"));
  EXPECT_EQ(record.samples, 150);
  EXPECT_EQ(record.points.front().cost, 4 * 8.0);
  EXPECT_EQ(run_command({"config", path("found.yaml"), "--check"}).code, 0);
}

TEST_F(SearchTest, RefusesWithAPosition) {
  const std::vector<std::pair<std::string, std::string>> bad{
      {"  keys: [rpu_config.forward.out_noise]\n", "is no bit width"},
      {"  keys: [rpu_config.pre_post.periph_quant.n_bit]\n", "did you mean 'rpu_config.pre_post.periph_quant.n_bits'"},
      {"  keys: [rpu_config.forward.out_res]\n  budget: -1\n", "search.budget"},
      {"  keys: [rpu_config.forward.out_res]\n  budget: half\n", "search.budget"},
      {"  keys: [rpu_config.forward.out_res]\n  confidence: 1.5\n", "search.confidence"},
      {"  keys: []\n", "search.keys"},
      {"  budget: 1\n", "missing key 'keys'"},
      {"  keys: [rpu_config.forward.out_res]\n  bits: [1, 3]\n", "search.keys.0.bits"},
      {"  keys: [rpu_config.forward.out_res]\n  bits: [3, 3]\n", "twice"},
      {"  keys: [rpu_config.forward.out_res, rpu_config.forward.out_res]\n", "twice"},
      {"  keys: [{key: rpu_config.pre_post.periph_quant.n_bits, levels: [14]}]\n", "levels"},
      {"  keys: [{key: rpu_config.forward.out_res, bit: [4]}]\n", "unknown key 'bit'"},
      {"  keys: [rpu_config.forward.out_res]\n  bits: [12]\n", "no analog layer"},
      {"  keys: [rpu_config.forward.out_res]\n  limits: 3\n", "limits"}};
  for (const auto& [section, message] : bad) {
    const CommandResult result = search(with(section));
    EXPECT_EQ(result.code, 3) << section << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr(message), HasSubstr("search.yaml:"))) << section;
    EXPECT_FALSE(std::filesystem::exists(path("found.yaml")));
  }
  EXPECT_EQ(search(with("  keys: [rpu_config.forward.out_res]\n  layers: [fcc]\n")).code, 3);
  EXPECT_EQ(search(config("quickstart.yaml")).code, 3) << "no search: section";
  EXPECT_EQ(search(path("none.yaml")).code, 3);
  EXPECT_EQ(run_command({"search", with(two_widths)}).code, 2);
  EXPECT_EQ(run_command({"search", with(two_widths), "-o", path("search.yaml")}).code, 2);
}

TEST_F(SearchTest, RefusesFilesOfOthersAndNetworksThatGuess) {
  const std::string file = with(two_widths);
  write("found.h5", "something else");
  const CommandResult taken = search(file);
  EXPECT_EQ(taken.code, 3);
  EXPECT_THAT(taken.err, HasSubstr("no file of tessera search"));
  EXPECT_EQ(text(path("found.h5")), "something else");
  std::filesystem::remove(path("found.h5"));
  const CommandResult guessing = search(file, {"--set", "rpu_config.forward.out_noise=1000"});
  EXPECT_EQ(guessing.code, 3);
  EXPECT_THAT(guessing.err, HasSubstr("no better than guessing"));
}

}  // namespace
}  // namespace tessera::cli
