// Does `tessera train` do its job on what the repository ships, and continue where it was stopped?
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "cli/command_fixture.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/training_curves.hpp"

namespace tessera::cli {
namespace {

using testing::HasSubstr;

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
    std::vector<std::string> arguments{"train", entry.path().string(), "-o",    path(name + ".h5"),      "--limit",
                                       "48",    "--no-progress",       "--set", "training.data.limit=48"};
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
    EXPECT_THAT(result.err, testing::MatchesRegex("(note: epoch [^\n]*\n)+")) << name;
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

TEST_F(TrainCommandTest, LearnedRangesOfQuantizersAreKeptAndUsed) {
  const std::string file = small_config(R"(  quantizers: {learn_quant_params: true, init_learning_after: 1}
layers: [{match: "*", analog: false}]
quantization:
  default_qconfig: {activation_quant: {n_bits: 4, symmetric: false}, weight_quant: {n_bits: 4, per_channel: true}}
  append_default_conversions: true
)");
  const CommandResult trained =
      run_command({"train", file, "-o", path("m.h5"), "--no-progress", "--set", "training.analog_epochs=0"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_THAT(run_command({"inspect", path("m.h5")}).out, HasSubstr("weight"));
  const auto run = [&](const std::string& more) {
    return run_command({"run", file, "-o", path("r.h5"), "--set", "model.file=" + path("m.h5"), "--set", more});
  };
  const CommandResult with = run("model.use_calibration=true"), without = run("model.use_calibration=false");
  ASSERT_EQ(with.code, 0) << with.err;
  ASSERT_EQ(without.code, 0) << without.err;
  EXPECT_NE(with.out, without.out);
  const CommandResult other = run("quantization.default_qconfig.weight_quant.n_bits=6");
  EXPECT_EQ(other.code, 3);
  EXPECT_THAT(other.err, HasSubstr("weight of layer 'fc1' was learned for 4 bits"));
}

TEST_F(TrainCommandTest, WeightsGoBackIntoTheOnnxFile) {
  const std::vector<std::string> digital{"--set", "training.analog_epochs=0", "-q"};
  std::vector<std::string> arguments{"train", small_config(), "-o", path("m.h5"), "--onnx", path("m.onnx")};
  arguments.insert(arguments.end(), digital.begin(), digital.end());
  const CommandResult trained = run_command(arguments);
  ASSERT_EQ(trained.code, 0) << trained.err;
  const auto scores = [&](const std::string& file) {
    const CommandResult run = run_command({"run", small_config(), "-o", path("r.h5"), "--set", "model.file=" + file});
    EXPECT_EQ(run.code, 0) << run.err;
    return results::Reader(path("r.h5")).read("reference/loss").values;
  };
  EXPECT_EQ(scores(path("m.onnx")), scores(path("m.h5")));
  EXPECT_NE(scores(path("m.onnx")), scores(model("glyphs_mlp.onnx")));
  arguments.insert(arguments.end(), {"--set", "model.file=" + path("m.h5")});
  const CommandResult refused = run_command(arguments);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("no ONNX file"));
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
  expect_fails({"train", config("quickstart.yaml"), "-o", path("m.h5"), "--limit", "48"}, 3,
               "has no training: section");
  expect_fails({"train", small_config()}, 2, "Give -o model.h5");
  expect_fails({"train", small_config("  lr: -1\n"), "-o", path("m.h5")}, 3, "small.yaml:11:7: training.lr");
  expect_fails({"train", small_config(), "-o", path("nowhere/m.h5")}, 4, "nowhere");
  EXPECT_FALSE(std::filesystem::exists(path("m.h5")));
}

// Ctrl-C in the middle: the signal arrives behind the first epoch, whenever that is.
TEST_F(TrainCommandTest, AfterAnInterruptTheSameCommandEndsWithTheSameBits) {
  const auto arguments = [&](const std::string& name) {
    return std::vector<std::string>{
        "train", small_config(), "-o", path(name), "--no-progress", "--set", "training.digital_epochs=40"};
  };
  ASSERT_EQ(run_command(arguments("whole.h5")).code, 0);
  const auto before = std::signal(SIGINT, SIG_IGN);  // in force again if the signal comes too late
  std::thread user([&] {
    while (!std::filesystem::exists(path("m.curves.h5"))) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::raise(SIGINT);
  });
  const CommandResult interrupted = run_command(arguments("m.h5"));
  user.join();
  std::signal(SIGINT, before);
  ASSERT_EQ(interrupted.code, 4) << "the signal came too late\n" << interrupted.err;
  EXPECT_THAT(interrupted.err, HasSubstr("the same command continues"));
  EXPECT_FALSE(std::filesystem::exists(path("m.h5")));
  ASSERT_TRUE(std::filesystem::exists(path("m.h5.checkpoint")));

  const CommandResult resumed = run_command(arguments("m.h5"));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("continuing behind epoch"));
  const io::Model a = io::read_model(path("whole.h5")), b = io::read_model(path("m.h5"));
  EXPECT_EQ(a.calibration, b.calibration);
  ASSERT_EQ(a.graph.values.size(), b.graph.values.size());
  for (std::size_t v = 0; v < a.graph.values.size(); ++v) {
    const Tensor* const x = a.graph.tensor(static_cast<nn::ValueId>(v));
    const Tensor* const y = b.graph.tensor(static_cast<nn::ValueId>(v));
    ASSERT_EQ(x == nullptr, y == nullptr);
    if (x != nullptr) {
      EXPECT_TRUE(std::ranges::equal(x->values(), y->values())) << a.graph.values[v].name;
    }
  }
}

// As a reader of docs/formats/training.md would.
TEST_F(TrainCommandTest, XarrayOpensTheCurves) {
  ASSERT_EQ(run_command({"train", small_config(), "-o", path("m.h5"), "-q"}).code, 0);
  if (std::system("/usr/bin/python3 -c 'import xarray, h5netcdf' 2>/dev/null") != 0)
    GTEST_SKIP() << "needs python3 with xarray and h5netcdf";
  const std::string script = write("open.py", fmt::format(R"(
import xarray
curves = xarray.open_dataset("{}", engine="h5netcdf")
assert curves.sizes["epoch"] == 2 and list(curves.time.values) == [1.0, 3600.0], curves
assert curves.loss.dims == ("epoch",) and curves.loss.notnull().all(), curves
assert curves.validation_accuracy.dims == ("epoch", "time", "chip"), curves
assert curves.validation_accuracy.isel(epoch=0).isnull().all() and curves.validation_accuracy.isel(epoch=1).notnull().all()
assert list(curves.analog.values) == [0, 1] and curves.learning_rate.attrs["long_name"], curves
)",
                                                          path("m.curves.h5")));
  EXPECT_EQ(std::system(("/usr/bin/python3 " + script).c_str()), 0);
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
