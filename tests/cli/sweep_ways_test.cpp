// Is one sweep the same file, bit for bit, when it runs through, is killed again and again, is cut into shards and
// merged, or is divided among MPI ranks? Does every shipped sweep run?
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <random>
#include <thread>

#include "cli/command_fixture.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"

namespace tessera::cli {
namespace {

using testing::IsEmpty;
namespace fs = std::filesystem;

class SweepWaysTest : public CommandTest {
 protected:
  /// 6 points of 2 chips with devices, statistics, predictions and a recorded output, read at two times.
  std::string small_sweep() const {
    return write("sweep.yaml", fmt::format(R"(
base: {}
data: {{limit: 24}}
rpu_config: {{noise_model: {{type: PCMLikeNoiseModel}}, drift_compensation: {{type: GlobalDriftCompensation}}}}
evaluation: {{repeats: 2, times: [0, 86400]}}
output: {{record: {{statistics: true, predictions: true, tensors: [fc2]}}}}
sweep:
  axes:
    rpu_config.pre_post.periph_quant.n_bits: [2, 4, 0]
    layers.fc1.rpu_config.forward.out_res: [14, 254]
)",
                                           config("quickstart.yaml")));
  }
  void run_through(const std::vector<std::string>& arguments) const {
    const CommandResult result = run_command(arguments);
    ASSERT_EQ(result.code, 0) << result.err;
  }
  void expect_same(const std::string& a, const std::string& b) const {
    EXPECT_THAT(results::compare(path(a), path(b), {"/runtime", "/@created_utc"}), IsEmpty()) << b;
  }
  /// Finished chips with the number of the file's node: one that is written again has another.
  std::map<std::string, ino_t> finished_chips(const std::string& output) const {
    std::map<std::string, ino_t> chips;
    if (!fs::exists(path(output + ".points"))) return chips;
    for (const auto& entry : fs::directory_iterator(path(output + ".points"))) {
      struct stat status {};
      if (entry.path().extension() == ".h5" && stat(entry.path().c_str(), &status) == 0)
        chips.emplace(entry.path().filename().string(), status.st_ino);
    }
    return chips;
  }
  /// Runs the command in a process of its own, killed `delay` after `chips` further chips were finished. True if it
  /// was, false if it ended by itself.
  bool run_and_kill(const std::string& file, const std::string& output, std::size_t chips,
                    std::chrono::microseconds delay) const {
    const std::size_t enough = finished_chips(output).size() + chips;
    const std::string target = path(output), command = binary();
    const pid_t child = fork();
    if (child == 0) {
      execl(command.c_str(), "tessera", "sweep", file.c_str(), "-o", target.c_str(), "-q", "--no-share", nullptr);
      _exit(127);
    }
    int status = 0;
    while (finished_chips(output).size() < enough) {
      if (waitpid(child, &status, WNOHANG) == child) return ended(status);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(delay);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) || ended(status);
  }
  static bool ended(int status) {
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    return false;
  }
  static std::string binary() { return TESSERA_BINARY_DIR + "/bin/tessera"; }
};

TEST_F(SweepWaysTest, AllWaysGiveTheSameFile) {
  ASSERT_TRUE(fs::exists(binary()));
  const std::string file = small_sweep();
  run_through({"sweep", file, "-o", path("plain.h5"), "-q"});
  ASSERT_TRUE(results::Reader(path("plain.h5")).complete());

  std::mt19937 random(1);
  int killed = 0;
  std::map<std::string, ino_t> before;
  for (;;) {
    ASSERT_LT(killed, 100) << "no process comes to an end";
    const bool was_killed =
        run_and_kill(file, "killed.h5", 1 + random() % 3, std::chrono::microseconds(random() % 40000));
    if (!was_killed) break;
    ++killed;
    const std::map<std::string, ino_t> after = finished_chips("killed.h5");
    for (const auto& [name, node] : before)
      EXPECT_TRUE(after.empty() || (after.contains(name) && after.at(name) == node)) << "lost or computed twice";
    before = after;
  }
  EXPECT_GE(killed, 2) << "the processes were too fast to be killed: the test shows nothing";
  expect_same("plain.h5", "killed.h5");

  for (const char* shard : {"2/3", "3/3", "1/3"})
    run_through({"sweep", file, "-o", path(std::string("shard") + shard[0] + ".h5"), "-q", "--shard", shard});
  run_through({"merge", path("shard1.h5"), path("shard2.h5"), path("shard3.h5"), "-o", path("merged.h5")});
  expect_same("plain.h5", "merged.h5");

  const std::string mpirun = "/usr/bin/mpirun";
  if (!fs::exists(mpirun)) GTEST_SKIP() << "plain, killed and sharded compared; no mpirun here";
  for (const int ranks : {2, 3}) {
    const std::string output = fmt::format("ranks{}.h5", ranks);
    const int status = std::system(fmt::format("{} --allow-run-as-root --oversubscribe -n {} {} sweep {} -o {} -q "
                                               "--threads 1 > {} 2>&1",
                                               mpirun, ranks, binary(), file, path(output), path("mpi.log"))
                                       .c_str());
    std::ifstream log(path("mpi.log"));
    const std::string text{std::istreambuf_iterator<char>(log), {}};
    if (text.find("built without MPI") != std::string::npos)
      GTEST_SKIP() << "plain, killed and sharded compared; built without MPI";
    ASSERT_EQ(status, 0) << text;
    expect_same("plain.h5", output);
  }
}

// A control: other chips are found to be others.
TEST_F(SweepWaysTest, AnotherSeedIsAnotherFile) {
  const std::string file = small_sweep();
  run_through({"sweep", file, "-o", path("a.h5"), "-q"});
  run_through({"sweep", file, "-o", path("b.h5"), "-q", "--seed", "2"});
  EXPECT_THAT(results::compare(path("a.h5"), path("b.h5"), {"/runtime", "/@created_utc"}), testing::Not(IsEmpty()));
}

TEST_F(SweepWaysTest, EveryShippedSweepRuns) {
  int ran = 0;
  for (const auto& entry : fs::directory_iterator(config("sweeps"))) {
    const std::string name = entry.path().filename().string();
    std::vector<std::string> arguments{"sweep", entry.path().string(), "-o", path(name + ".h5"), "-q", "--limit", "8"};
    std::vector<std::string> settings{"evaluation.repeats=1"};
    if (name.starts_with("mnist")) {
      if (real_data("mnist/lenet5-relu.onnx").empty()) continue;
      settings.push_back("model.file=" + real_data("mnist/lenet5-relu.onnx"));
      settings.push_back("data.inputs=" + real_data("mnist/t10k-images-idx3-ubyte"));
      settings.push_back("data.labels=" + real_data("mnist/t10k-labels-idx1-ubyte"));
    } else if (name.starts_with("cifar10")) {
      if (real_data("cifar10/resnet20.onnx").empty()) continue;
      settings.push_back("model.file=" + real_data("cifar10/resnet20.onnx"));
      settings.push_back("data.inputs=" + real_data("cifar10/test_a.bin"));
    }
    for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
    const CommandResult result = run_command(arguments);
    ASSERT_EQ(result.code, 0) << name << "\n" << result.err;
    EXPECT_THAT(result.err, IsEmpty()) << name;
    EXPECT_TRUE(results::Reader(path(name + ".h5")).complete()) << name;
    EXPECT_THAT(results::check_schema(h5::File::open(path(name + ".h5"))), IsEmpty()) << name;
    ++ran;
  }
  EXPECT_GE(ran, 4);
}

}  // namespace
}  // namespace tessera::cli
