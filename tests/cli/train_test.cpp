// Does `tessera train` do its job on what the repository ships, and continue where it was stopped?
#include <gmock/gmock.h>

#include "cli/command_fixture.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/results/training_curves.hpp"

namespace tessera::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class TrainCommandTest : public CommandTest {
 protected:
  std::string small_config(const std::string& more = "") const {
    return write("small.yaml", fmt::format(R"(
model: {{file: {}}}
data: {{format: glyphs, scale: 0.0039, limit: 40}}
rpu_config: {{preset: StandardHWATrainingPreset, noise_model: {{type: PCMLikeNoiseModel}}}}
training:
  data: {{format: glyphs, glyphs: {{split: train, count: 64}}, scale: 0.0039}}
  digital_epochs: 1
  analog_epochs: 1
  batch_size: 32
  validation: {{times: [1, 3600]}}
{})",
                                           model("glyphs_mlp.onnx"), more));
  }
};

TEST_F(TrainCommandTest, EveryShippedTrainingTrains) {
  int ran = 0;
  for (const auto& entry : std::filesystem::directory_iterator(config(""))) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".yaml" || name.find("train") == std::string::npos) continue;
    std::vector<std::string> arguments{
        "train", entry.path().string(),   "-o", path(name + ".h5"), "--limit", "48", "--quiet",
        "--set", "training.data.limit=48"};
    if (name.starts_with("mnist")) {
      if (real_data("mnist/train-images-idx3-ubyte.gz").empty()) continue;
      for (const auto& [key, file] : std::vector<std::pair<std::string, std::string>>{
               {"model.file", "mnist/lenet5-relu.onnx"},
               {"data.inputs", "mnist/t10k-images-idx3-ubyte"},
               {"data.labels", "mnist/t10k-labels-idx1-ubyte"},
               {"training.data.inputs", "mnist/train-images-idx3-ubyte.gz"},
               {"training.data.labels", "mnist/train-labels-idx1-ubyte.gz"}}) {
        arguments.emplace_back("--set");
        arguments.push_back(key + "=" + real_data(file));
      }
    }
    const CommandResult result = run_command(arguments);
    EXPECT_EQ(result.code, 0) << name << "\n" << result.err;
    EXPECT_THAT(result.err, IsEmpty()) << name;
    EXPECT_THAT(result.out, HasSubstr("kept epoch")) << name;
    EXPECT_FALSE(io::read_model(path(name + ".h5")).graph.nodes.empty()) << name;
    EXPECT_FALSE(results::read_training_curves(path(name + ".curves.h5")).epochs.empty()) << name;
    ++ran;
  }
  EXPECT_GE(ran, 2);
}

TEST_F(TrainCommandTest, TheModelRunsWithItsRanges) {
  const CommandResult trained = run_command({"train", small_config(), "-o", path("m.h5"), "--no-progress"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("epoch 2/2 analog"));
  const io::Model model = io::read_model(path("m.h5"));
  EXPECT_EQ(model.calibration.size(), 3U);
  EXPECT_THAT(model.notes.at("trained_by"), HasSubstr("tessera train"));
  EXPECT_THAT(files(), testing::ElementsAre("m.curves.h5", "m.h5", "small.yaml")) << "no checkpoint is left";
  const CommandResult run =
      run_command({"run", small_config(), "-o", path("r.h5"), "--set", "model.file=" + path("m.h5")});
  EXPECT_EQ(run.code, 0) << run.err;
}

TEST_F(TrainCommandTest, CurvesHoldEveryEpoch) {
  ASSERT_EQ(run_command({"train", small_config(), "-o", path("m.h5"), "--curves", path("c.h5"), "-q"}).code, 0);
  const results::TrainingCurves curves = results::read_training_curves(path("c.h5"));
  ASSERT_EQ(curves.epochs.size(), 2U);
  EXPECT_FALSE(curves.epochs[0].analog);
  EXPECT_TRUE(curves.epochs[1].analog);
  EXPECT_THAT(curves.times, testing::ElementsAre(1.0, 3600.0));
  EXPECT_EQ(curves.epochs[1].validation_accuracy.size(), 2U);
  EXPECT_THAT(curves.resolved_text, HasSubstr("analog_epochs: 1"));
}

TEST_F(TrainCommandTest, MistakesAreNamed) {
  const auto expect_fails = [&](const std::vector<std::string>& arguments, int code, const std::string& message) {
    const CommandResult result = run_command(arguments);
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  expect_fails({"train", config("quickstart.yaml"), "-o", path("m.h5")}, 3, "has no training: section");
  expect_fails({"train", small_config()}, 2, "Give -o model.h5");
  expect_fails({"train", small_config("  lr: -1\n"), "-o", path("m.h5")}, 3, "small.yaml:11:7: training.lr");
  expect_fails({"train", small_config(), "-o", path("nowhere/m.h5")}, 4, "nowhere");
  EXPECT_FALSE(std::filesystem::exists(path("m.h5")));
}

TEST_F(TrainCommandTest, AForeignCheckpointIsRefusedUnlessFresh) {
  ASSERT_EQ(run_command({"train", small_config(), "-o", path("m.h5"), "-q"}).code, 0);
  std::filesystem::copy_file(path("m.h5"), path("n.h5.checkpoint"));
  const CommandResult refused = run_command({"train", small_config(), "-o", path("n.h5"), "-q"});
  EXPECT_EQ(refused.code, 3);
  EXPECT_THAT(refused.err, HasSubstr("--fresh"));
  EXPECT_EQ(run_command({"train", small_config(), "-o", path("n.h5"), "-q", "--fresh"}).code, 0);
}

}  // namespace
}  // namespace tessera::cli
