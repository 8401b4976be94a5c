// Does every command that writes survive a full disk: a message, exit code 4, and nothing under the name of the output?
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "cli/command_fixture.hpp"

namespace tessera::cli {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

/// A command that writes files of more than 8 kB, and their names in the folder of the outputs.
struct WritingCommand {
  std::string name;
  std::vector<std::string> words;  ///< {} stands for the folder of the outputs, {in} for that of the inputs
  std::vector<std::string> outputs;
};

std::ostream& operator<<(std::ostream& out, const WritingCommand& command) {
  return out << command.name;
}

const std::vector<WritingCommand>& writing_commands() {
  static const std::vector<WritingCommand> commands{
      {"run", {"run", "{in}/small.yaml", "-o", "{}/r.h5"}, {"r.h5"}},
      {"run_recording", {"run", "{in}/small.yaml", "-o", "{}/r.h5", "--set", "output.record.tensors=['*']"}, {"r.h5"}},
      {"chips",
       {"run", "{in}/small.yaml", "-o", "{in}/kept.h5", "--set", "output.chips={}/chips.h5", "--set",
        "rpu_config.noise_model={type: PCMLikeNoiseModel}"},
       {"chips.h5"}},
      {"sweep", {"sweep", "{in}/sweep.yaml", "-o", "{}/s.h5"}, {"s.h5"}},
      {"merge", {"merge", "{in}/shard1.h5", "{in}/shard2.h5", "-o", "{}/m.h5"}, {"m.h5"}},
      {"calibrate", {"calibrate", "{in}/calibrate.yaml", "-o", "{}/c.h5"}, {"c.h5"}},
      {"train", {"train", "{in}/train.yaml", "-o", "{}/t.h5"}, {"t.h5"}},
      {"import", {"import", "{model}", "-o", "{}/i.h5"}, {"i.h5"}},
      {"report", {"report", "{in}/run.h5", "-o", "{}/r.html"}, {"r.html"}},
      {"doctor", {"doctor", "{in}/small.yaml", "-o", "{}/d.h5"}, {"d.h5"}},
      {"export", {"export", "{in}/codes.yaml", "--codes", "{}/codes"}, {"codes/fc1.tile0.weights.npy"}},
  };
  return commands;
}

class FullDiskTest : public CommandTest, public testing::WithParamInterface<WritingCommand> {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    const std::string common = fmt::format(
        "model: {{file: {}}}\ndata: {{format: glyphs, scale: 0.0039, limit: 8}}\n"
        "rpu_config: {{forward: {{out_noise: 0.04}}, pre_post: {{input_range: {{enable: true}}}}}}\n",
        model("glyphs_cnn.onnx"));
    write("small.yaml", common);
    write("codes.yaml", common + "base: " + config("fixed_point.yaml") + "\n");
    write("calibrate.yaml", common + "calibration: {}\n");
    write("sweep.yaml", common + "sweep: {mode: grid, axes: {rpu_config.forward.out_noise: [0.01, 0.02]}}\n");
    write("train.yaml", common +
                            "training: {data: {format: glyphs, glyphs: {split: train, count: 32}, scale: 0.0039}, "
                            "digital_epochs: 1, analog_epochs: 0, batch_size: 32}\n");
    fs::create_directories(path("out/codes"));
  }

  void prepare_inputs() const {
    std::vector<std::vector<std::string>> commands;
    if (GetParam().name == "merge")
      for (const std::string shard : {"1", "2"})
        commands.push_back(
            {"sweep", path("sweep.yaml"), "-o", path("shard" + shard + ".h5"), "--shard", shard + "/2", "-q"});
    if (GetParam().name == "report") commands.push_back({"run", path("small.yaml"), "-o", path("run.h5"), "-q"});
    for (const std::vector<std::string>& command : commands) ASSERT_EQ(run_command(command).code, 0);
  }

  std::vector<std::string> words() const {
    std::vector<std::string> all;
    for (std::string word : GetParam().words) {
      for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
               {"{in}", path("")}, {"{model}", model("glyphs_cnn.onnx")}, {"{}", path("out")}})
        if (const std::size_t at = word.find(key); at != std::string::npos) word.replace(at, key.size(), value);
      all.push_back(word);
    }
    return all;
  }

  /// Exit code and standard error of the command in a process of its own, whose files may have `limit` bytes.
  std::pair<int, std::string> run_limited(rlim_t limit) const {
    const std::string log = path("log.txt");
    const std::string binary = TESSERA_BINARY_DIR + "/bin/tessera";
    std::vector<std::string> all = words();
    std::vector<char*> arguments;
    all.insert(all.begin(), "tessera");
    all.insert(all.end(), {"--no-progress", "-q"});
    for (std::string& word : all) arguments.push_back(word.data());
    if (const std::string& name = GetParam().name; name == "merge" || name == "import" || name == "report")
      arguments.resize(arguments.size() - 2);
    arguments.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      if (std::freopen(log.c_str(), "w", stderr) == nullptr || std::freopen("/dev/null", "w", stdout) == nullptr)
        _exit(126);
      const rlimit bytes{limit, limit};
      if (limit != RLIM_INFINITY) setrlimit(RLIMIT_FSIZE, &bytes);
      execv(binary.c_str(), arguments.data());
      _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    std::ifstream stream(log, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(stream), {}};
    EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status) << "\n" << text;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text};
  }

  /// What must hold after a disk was full: `earlier` is what stood in the output files before.
  void expect_failed_well(const std::pair<int, std::string>& ended, const std::string& earlier) const {
    EXPECT_EQ(ended.first, 4) << ended.second;
    EXPECT_THAT(ended.second, AnyOf(HasSubstr("No space left on device"), HasSubstr("File too large")));
    for (const std::string& output : GetParam().outputs) {
      std::ifstream stream(path("out/" + output), std::ios::binary);
      EXPECT_EQ(stream.is_open(), !earlier.empty()) << output;
      EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}), earlier) << output;
      EXPECT_FALSE(fs::exists(path("out/" + output + ".partial")));
      EXPECT_FALSE(fs::exists(path("out/codes.partial")));
    }
  }
};

TEST_P(FullDiskTest, FilesThatMayNotGrow) {
  prepare_inputs();
  expect_failed_well(run_limited(4096), "");
  for (const std::string& output : GetParam().outputs) write("out/" + output, "earlier");
  expect_failed_well(run_limited(4096), "earlier");
  for (const std::string& output : GetParam().outputs) fs::remove(path("out/" + output));
  const auto [code, text] = run_limited(RLIM_INFINITY);
  EXPECT_EQ(code, 0) << text;
  for (const std::string& output : GetParam().outputs) EXPECT_GT(fs::file_size(path("out/" + output)), 8192U) << output;
}

TEST_P(FullDiskTest, FileSystemWithoutSpace) {
  if (mount("tessera_test", path("out").c_str(), "tmpfs", 0, "size=8k") != 0)
    GTEST_SKIP() << "a small file system cannot be mounted here (needs root)";
  prepare_inputs();
  expect_failed_well(run_limited(RLIM_INFINITY), "");
  umount(path("out").c_str());
}

INSTANTIATE_TEST_SUITE_P(Writers, FullDiskTest, testing::ValuesIn(writing_commands()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace tessera::cli
