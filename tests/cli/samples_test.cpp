// Do networks give for each sample what the ONNX reference gives, wherever they hold it, and are those refused that
// would not? Networks, data and expected outputs: tests/data/samples/make_networks.py.
#include <gmock/gmock.h>

#include <cmath>

#include "cli/command_fixture.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class SamplesTest : public CommandTest {
 protected:
  static std::string sample(const std::string& name) { return TESSERA_SOURCE_DIR + "/tests/data/samples/" + name; }

  std::string config_of(const std::string& network, const std::string& inputs, const std::string& labels,
                        const std::string& more = "") const {
    const std::string given = labels.empty() ? "" : ", labels: " + sample(labels + ".npy");
    return write(network + ".yaml", fmt::format("model: {{file: {}}}\ndata: {{format: npy, inputs: {}{}}}\n{}\n",
                                                sample(network + ".onnx"), sample(inputs + ".npy"), given, more));
  }

  CommandResult run(const std::string& config, const std::string& output, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"run", config, "-o", path(output)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_command(arguments);
  }
};

constexpr const char* exact = "rpu_config: {forward: {is_perfect: true}}\noutput: {record: {tensors: ['*']}}";
constexpr const char* noisy = "rpu_config: {forward: {out_noise: 0.1}}\noutput: {record: {tensors: ['*']}}";

struct Case {
  const char* network;
  const char* inputs;
  const char* expected;
};
constexpr Case cases[] = {{"fixed", "rows", "fixed_y"},
                          {"moving", "sequences", "moving_y"},
                          {"sequence_first", "sequences", "sequence_first_y"},
                          {"channels_last", "images_last", "channels_last_y"}};

TEST_F(SamplesTest, OutputsAreThoseOfTheReference) {
  for (const Case& c : cases) {
    const CommandResult result = run(config_of(c.network, c.inputs, c.expected, exact), "r.h5");
    ASSERT_EQ(result.code, 0) << c.network << result.err;
    for (const char* mse : {"/mse", "/reference/mse"})
      EXPECT_LT(results::Reader(path("r.h5")).read(mse).values.at(0), 1e-11) << c.network << mse;
  }
}

TEST_F(SamplesTest, NoNumberDependsOnBatchesOrThreads) {
  for (const Case& c : cases) {
    const std::string config = config_of(c.network, c.inputs, c.expected, noisy);
    ASSERT_EQ(run(config, "a.h5", {"--batch-size", "1", "--threads", "1"}).code, 0) << c.network;
    for (const char* batch : {"2", "4", "5", "128"})
      for (const char* threads : {"1", "2"}) {
        ASSERT_EQ(run(config, "b.h5", {"--batch-size", batch, "--threads", threads}).code, 0) << c.network;
        EXPECT_THAT(results::compare(path("a.h5"), path("b.h5")), IsEmpty()) << c.network << " " << batch;
      }
  }
}

TEST_F(SamplesTest, RecordedTensorsHaveOneEntryPerSample) {
  ASSERT_EQ(run(config_of("moving", "sequences", "", noisy), "r.h5").code, 0);
  const results::Reader reader(path("r.h5"));
  EXPECT_EQ(reader.read("/layers/sequence/output").shape, (Shape{1, 1, 7, 5, 4}));
  EXPECT_EQ(reader.read("/layers/states/output").shape, (Shape{1, 1, 7, 5, 2, 3}));
  EXPECT_EQ(reader.read("/layers/merged/output").shape, (Shape{1, 1, 7, 5, 4}));
  // The last sample alone: the same rows, without noise.
  ASSERT_EQ(run(config_of("moving", "sequences", "", exact), "all.h5").code, 0);
  ASSERT_EQ(run(config_of("moving", "sequences", "", exact), "last.h5", {"--set", "data.first=6"}).code, 0);
  for (const char* name : {"/layers/sequence/output", "/layers/states/output", "/layers/merged/output"}) {
    const auto all = results::Reader(path("all.h5")).read(name).values;
    const auto last = results::Reader(path("last.h5")).read(name).values;
    ASSERT_EQ(all.size(), 7 * last.size());
    EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - std::ssize(last))) << name;
  }
}

TEST_F(SamplesTest, AFixedBatchIsEvaluatedWithWhateverFillsItUpLeftOut) {
  const CommandResult result = run(config_of("fixed", "rows", "fixed_y", noisy), "all.h5");
  EXPECT_THAT(result.err, HasSubstr("first extent of 4"));
  EXPECT_THAT(result.err, Not(HasSubstr("same results")));
  EXPECT_EQ(results::Reader(path("all.h5")).read("/layers/y/output").shape, (Shape{1, 1, 11, 3}));
}

TEST_F(SamplesTest, WhatMixesSamplesIsRefusedBeforeAnythingRuns) {
  const std::pair<const char*, const char*> mixing[] = {{"mean_of_batch", "node 'mean' (ReduceMean)"},
                                                        {"row_constant", "node 'y' (Add)"},
                                                        {"row_bias", "(Add)"},
                                                        {"softmax_of_batch", "node 'y' (Softmax)"},
                                                        {"next_sample", "(Slice)"},
                                                        {"share_of_batch", "'part' (Div)"}};
  for (const auto& [network, node] : mixing)
    for (const char* command : {"run", "doctor", "calibrate"}) {
      const std::string config = config_of(network, "rows", "", noisy);
      const CommandResult result = run_command({command, config, "-o", path("r.h5")});
      EXPECT_EQ(result.code, 3) << command << " " << network << result.err;
      EXPECT_THAT(result.err, HasSubstr(node)) << command << " " << network;
      EXPECT_FALSE(std::filesystem::exists(path("r.h5")));
    }
}

TEST_F(SamplesTest, OneOfSeveralOutputsIsChosenByName) {
  const std::string config = config_of("two_heads", "rows", "", exact);
  const CommandResult first = run(config, "r.h5");
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.err, AllOf(HasSubstr("output 'aux'"), HasSubstr("not main"), HasSubstr("model.output")));
  const std::string labels = "data.labels=" + sample("main_labels.npy");
  const CommandResult chosen = run(config, "r.h5", {"--set", "model.output=main", "--set", labels});
  EXPECT_EQ(chosen.code, 0) << chosen.err;
  EXPECT_THAT(chosen.err, IsEmpty());
  EXPECT_EQ(results::Reader(path("r.h5")).read("/accuracy").values.at(0), 1.0);
  const CommandResult wrong = run(config, "r.h5", {"--set", "model.output=mian"});
  EXPECT_EQ(wrong.code, 3);
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("model.output"), HasSubstr("did you mean 'main'?")));
}

TEST_F(SamplesTest, AxesMoveOnlyWhereThatIsSaid) {
  const std::string config = config_of("channels_last", "images", "channels_last_y", exact);
  const CommandResult silent = run(config, "r.h5");
  EXPECT_EQ(silent.code, 3);
  EXPECT_THAT(silent.err, AllOf(HasSubstr("4x5x3"), HasSubstr("3x4x5"), HasSubstr("data.transpose: [1, 2, 0]"),
                                HasSubstr("data.layout: nchw")));
  for (const char* said : {"data.layout=nchw", "data.layout=nhwc", "data.transpose=[1, 2, 0]"}) {
    const CommandResult result = run(config, "r.h5", {"--set", said});
    EXPECT_EQ(result.code, 0) << said << result.err;
    EXPECT_LT(results::Reader(path("r.h5")).read("/mse").values.at(0), 1e-11) << said;
  }
  // Height and width may not change places either.
  EXPECT_EQ(run(config, "r.h5", {"--set", "data.transpose=[2, 1, 0]"}).code, 3);
  EXPECT_EQ(run(config, "r.h5", {"--set", "data.transpose=[1, 2]"}).code, 3);
  EXPECT_EQ(run(config, "r.h5", {"--set", "data.transpose=[1, 1, 0]"}).code, 3);
}

TEST_F(SamplesTest, ChannelsKeepTheirMeanWhereverTheyLie) {
  const std::string normalized = "mean: [0.5, -0.25, 1], std: [2, 0.5, 1]";
  const auto outputs = [&](const std::string& inputs, const std::string& keys) {
    const std::string file = write(
        inputs + ".yaml", fmt::format(R"(
model: {{file: {}}}
data: {{format: npy, inputs: {}, {}, {}}}
{}
)",
                                      sample("channels_last.onnx"), sample(inputs + ".npy"), normalized, keys, exact));
    EXPECT_EQ(run(file, "r.h5").code, 0) << inputs << keys;
    return results::Reader(path("r.h5")).read("/layers/y/output").values;
  };
  const auto expected = outputs("images", "layout: nchw");
  EXPECT_EQ(outputs("images_last", "layout: nhwc"), expected);
}

TEST_F(SamplesTest, ClassesForEachPositionAreNoLongListOfClasses) {
  const CommandResult result = run(config_of("positions", "sequences", "sequence_labels", exact), "r.h5");
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, AllOf(HasSubstr("'y'"), HasSubstr("5x3")));
  EXPECT_EQ(run(config_of("positions", "sequences", "", exact), "r.h5").code, 0);
}

TEST_F(SamplesTest, TrainingCalibrationAndSweepsTakeTheSameSamples) {
  const std::string network = "moving";
  const std::string config = config_of(network, "sequences", "moving_y", R"(
rpu_config: {forward: {out_noise: 0.1}, pre_post: {input_range: {enable: true}}}
sweep: {axes: {rpu_config.forward.out_noise: [0.1, 0.2]}}
)");
  const CommandResult calibrated = run_command({"calibrate", config, "-o", path("m.h5")});
  EXPECT_EQ(calibrated.code, 0) << calibrated.err;
  const CommandResult swept = run_command({"sweep", config, "-o", path("s.h5"), "--batch-size", "3"});
  EXPECT_EQ(swept.code, 0) << swept.err;
  ASSERT_EQ(run(config, "r.h5", {"--set", "sweep=null"}).code, 0);
  EXPECT_EQ(results::Reader(path("s.h5")).read("/mse").values.at(0),
            results::Reader(path("r.h5")).read("/mse").values.at(0));
  const CommandResult doctor = run_command({"doctor", config, "--set", "sweep=null"});
  EXPECT_EQ(doctor.code, 0) << doctor.err;
}

}  // namespace
}  // namespace tessera::cli
