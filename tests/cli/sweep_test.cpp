// Do plain, resumed, killed and sharded sweeps give the same file, and are bad axes refused before anything runs?
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "cli/command_fixture.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SweepTest : public CommandTest {
 protected:
  std::string sweep_config(const std::string& sweep, const std::string& more = "") const {
    return write("sweep.yaml", fmt::format(R"(
base: {}
data: {{limit: 40}}
evaluation: {{repeats: 2}}
output: {{record: {{statistics: true, predictions: true}}}}
{}
sweep: {}
)",
                                           config("quickstart.yaml"), more, sweep));
  }
  std::string periphery() const {
    return sweep_config(R"({axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 4, 0],
      layers.fc1.rpu_config.forward.out_res: {range: [14, 30, 16]}}})");
  }
  void expect_refused(const std::string& sweep, const testing::Matcher<std::string>& message) const {
    const CommandResult result = run_command({"sweep", sweep_config(sweep), "-o", path("out.h5")});
    EXPECT_EQ(result.code, 3) << sweep << result.err;
    EXPECT_THAT(result.err, message) << sweep;
    EXPECT_FALSE(std::filesystem::exists(path("out.h5"))) << sweep;
    EXPECT_FALSE(std::filesystem::exists(path("out.h5.points"))) << sweep;
  }
};

TEST_F(SweepTest, AGridIsALabelledHypercube) {
  const CommandResult result = run_command({"sweep", periphery(), "-o", path("a.h5")});
  ASSERT_EQ(result.code, 0) << result.err;
  const results::Reader reader(path("a.h5"));
  EXPECT_TRUE(reader.complete());
  EXPECT_THAT(reader.read("/accuracy").dims, ElementsAre("n_bits", "out_res", "time", "repeat"));
  EXPECT_THAT(reader.read("/accuracy").shape, ElementsAre(3, 2, 1, 2));
  EXPECT_THAT(results::check_schema(h5::File::open(path("a.h5"))), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(path("a.h5.points"))) << "the points are cleaned up";
}

TEST_F(SweepTest, APointIsWhatARunOfItGives) {
  const std::string file = periphery();
  ASSERT_EQ(run_command({"sweep", file, "-o", path("sweep.h5")}).code, 0);
  ASSERT_EQ(run_command({"run", file, "-o", path("run.h5"), "--set", "rpu_config.pre_post.periph_quant.n_bits=4",
                         "--set", "layers.fc1.rpu_config.forward.out_res=30"})
                .code,
            0);
  const results::Reader sweep(path("sweep.h5"));
  const results::Reader run(path("run.h5"));
  for (const char* variable : {"/accuracy", "/loss", "/predictions", "/layers/fc1/sqnr_db", "/layers/fc2/mse"}) {
    const std::vector<double> one = run.read(variable).values;
    const std::vector<double> all = sweep.read(variable).values;
    // Point (1, 1) of 3 x 2.
    const std::vector<double> part(all.begin() + 3 * std::ssize(one), all.begin() + 4 * std::ssize(one));
    EXPECT_EQ(part, one) << variable;
  }
}

TEST_F(SweepTest, ShardsMergeToTheSameFile) {
  const std::string file = periphery();
  ASSERT_EQ(run_command({"sweep", file, "-o", path("plain.h5")}).code, 0);
  std::vector<std::string> merge{"merge"};
  for (const char* shard : {"3/3", "1/3", "2/3"}) {
    const std::string output = path(std::string("shard") + shard[0] + ".h5");
    const CommandResult result = run_command({"sweep", file, "-o", output, "--shard", shard, "--threads", "1"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_FALSE(results::Reader(output).complete());
    merge.push_back(output);
  }
  merge.insert(merge.end(), {"-o", path("merged.h5")});
  const CommandResult merged = run_command(merge);
  ASSERT_EQ(merged.code, 0) << merged.err;
  EXPECT_THAT(results::compare(path("plain.h5"), path("merged.h5")), IsEmpty());
}

TEST_F(SweepTest, KilledAtAnyMomentItContinues) {
  const std::string file = periphery();
  ASSERT_EQ(run_command({"sweep", file, "-o", path("plain.h5")}).code, 0);
  const std::string command = TESSERA_BINARY_DIR + "/bin/tessera";
  ASSERT_TRUE(std::filesystem::exists(command));
  int killed = 0;
  for (const int milliseconds : {20, 45, 70, 110, 160}) {
    const pid_t child = fork();
    if (child == 0) {
      execl(command.c_str(), "tessera", "sweep", file.c_str(), "-o", path("killed.h5").c_str(), "-q", nullptr);
      _exit(127);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    killed += WIFSIGNALED(status) ? 1 : 0;
  }
  EXPECT_GT(killed, 0) << "no process lived long enough to be killed: the test shows nothing";
  const CommandResult result = run_command({"sweep", file, "-o", path("killed.h5")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(results::compare(path("plain.h5"), path("killed.h5")), IsEmpty());
}

TEST_F(SweepTest, EqualPointsAreComputedOnce) {
  const CommandResult result = run_command(
      {"sweep", sweep_config("{mode: list, points: [{seed: 3}, {seed: 4}, {seed: 3}]}"), "-o", path("a.h5")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("2 points computed, 1 found or shared"));
  const std::vector<double> loss = results::Reader(path("a.h5")).read("/loss").values;
  EXPECT_EQ(loss.at(0), loss.at(4));
  EXPECT_NE(loss.at(0), loss.at(2));
}

TEST_F(SweepTest, ZipGoesAlongTheAxesTogether) {
  const CommandResult result = run_command(
      {"sweep",
       sweep_config("{mode: zip, axes: {seed: [1, 2], rpu_config.forward.out_noise: {logspace: [0.01, 0.1, 2]}}}"),
       "-o", path("a.h5")});
  ASSERT_EQ(result.code, 0) << result.err;
  const results::Axis axis = results::Reader(path("a.h5")).axes().at(0);
  EXPECT_EQ(axis.name, "point");
  EXPECT_THAT(std::get<std::vector<std::string>>(axis.values),
              ElementsAre("seed=1, rpu_config.forward.out_noise=0.01", "seed=2, rpu_config.forward.out_noise=0.1"));
}

TEST_F(SweepTest, ADryRunComputesNothing) {
  const CommandResult result = run_command({"sweep", periphery(), "--dry-run"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("6 points"), HasSubstr("480 images")));
}

TEST_F(SweepTest, BadAxesAreRefusedBeforeAnythingRuns) {
  expect_refused("{axes: {rpu_config.forward.out_nose: [1, 2]}}", AllOf(HasSubstr("out_nose"), HasSubstr("out_noise")));
  expect_refused("{axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 99]}}",
                 AllOf(HasSubstr("n_bits"), HasSubstr("n_bits=99")));
  expect_refused("{mode: zip, axes: {seed: [1, 2], rpu_config.forward.out_noise: [0.1]}}", HasSubstr("equal length"));
  expect_refused("{axes: {seed: {range: [1, 10000]}, rpu_config.forward.out_noise: {linspace: [0, 1, 1000]}}}",
                 HasSubstr("more than 1000000 points"));
  expect_refused("{axes: {seed: []}}", HasSubstr("no values"));
  expect_refused("{axes: {seed: {range: [5, 1]}}}", HasSubstr("step"));
  expect_refused("{mode: list, points: []}", HasSubstr("points"));
  expect_refused("{mode: spiral, axes: {seed: [1]}}", HasSubstr("spiral"));
  expect_refused("{axes: {layers.fc9.analog: [true, false]}}", HasSubstr("fc9"));
  EXPECT_EQ(run_command({"sweep", config("quickstart.yaml"), "-o", path("out.h5")}).code, 3);
  EXPECT_EQ(run_command({"sweep", periphery(), "-o", path("out.h5"), "--shard", "3/2"}).code, 2);
}

}  // namespace
}  // namespace tessera::cli
