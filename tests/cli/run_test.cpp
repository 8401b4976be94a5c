// Does `tessera run` do its job on what the repository ships, and give the same bits however it is asked to work?
#include <gmock/gmock.h>

#include "cli/command_fixture.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"

namespace tessera::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Matcher;
using testing::Not;

class RunTest : public CommandTest {
 protected:
  /// A small noisy run with everything recorded.
  std::string noisy_config() const {
    return write("noisy.yaml", fmt::format(R"(
base: {}
output: {{record: {{statistics: true, predictions: true, tensors: [conv2]}}}}
data: {{limit: 60}}
evaluation: {{repeats: 2}}
)",
                                           config("quickstart.yaml")));
  }
};

double accuracy(const std::string& file, const std::string& variable) {
  return results::Reader(file).read(variable).values.at(0);
}

TEST_F(RunTest, EveryShippedConfigurationRuns) {
  int ran = 0;
  for (const auto& entry : std::filesystem::directory_iterator(config(""))) {
    if (entry.path().extension() != ".yaml") continue;
    const std::string name = entry.path().filename().string();
    std::vector<std::string> arguments{"run", entry.path().string(), "-o", path(name + ".h5"), "--limit", "48"};
    // Data that is not shipped: network, inputs, labels.
    using Files = std::vector<std::pair<std::string, std::string>>;
    Files files;
    if (name.starts_with("mnist"))
      files = {{"model.file", "mnist/lenet5-relu.onnx"},
               {"data.inputs", "mnist/t10k-images-idx3-ubyte"},
               {"data.labels", "mnist/t10k-labels-idx1-ubyte"}};
    if (!files.empty() && real_data(files.front().second).empty()) continue;
    for (const auto& [key, file] : files) {
      arguments.emplace_back("--set");
      arguments.push_back(key + "=" + real_data(file));
    }
    const CommandResult result = run_command(arguments);
    EXPECT_EQ(result.code, 0) << name << "\n" << result.err;
    EXPECT_THAT(result.out, HasSubstr("float32")) << name;
    // Input ranges that another command is to find first.
    const bool ranges_missing = name == "calibrate.yaml" || name.find("train_hwa") != std::string::npos;
    if (name.find("fixed_point") != std::string::npos)  // likewise: codes that are chained have other input ranges
      EXPECT_THAT(result.err, HasSubstr("calibrate again")) << name;
    else
      EXPECT_THAT(result.err, ranges_missing ? Matcher<std::string>(HasSubstr("find ranges with tessera calibrate"))
                                             : Matcher<std::string>(Not(HasSubstr("warning"))))
          << name;
    ASSERT_TRUE(std::filesystem::exists(path(name + ".h5"))) << name;
    EXPECT_THAT(results::check_schema(h5::File::open(path(name + ".h5"))), IsEmpty()) << name;
    ++ran;
  }
  EXPECT_GE(ran, 3);
}

// The files of docs/guide/networks.md, which expect the data in a folder beside them.
TEST_F(RunTest, EveryNetworkOfTheGuideRunsAndIsCalibrated) {
  const std::string model = real_data("cifar10/resnet20.onnx");
  if (model.empty()) GTEST_SKIP() << "set TESSERA_DATA_DIR to the folder of the real data sets";
  std::filesystem::copy(config("networks"), path("networks"));
  std::filesystem::create_directory_symlink(std::filesystem::path(model).parent_path().parent_path(),
                                            path("networks/data"));
  int ran = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path("networks"))) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".yaml" || name == "standard") continue;
    const CommandResult made = run_command(
        {"calibrate", entry.path().string(), "-o", path(name + ".model.h5"), "-q", "--set", "calibration.samples=16"});
    ASSERT_EQ(made.code, 0) << name << made.err;
    const CommandResult result = run_command({"run", entry.path().string(), "--no-progress", "--limit", "16", "-o",
                                              path(name + ".h5"), "--set", "model.file=" + path(name + ".model.h5")});
    EXPECT_EQ(result.code, 0) << name << result.err;
    EXPECT_THAT(result.out, HasSubstr("CACHE_QUANTILE"));
    ++ran;
  }
  EXPECT_EQ(ran, 5);
}

TEST_F(RunTest, SameBitsForAnyThreadsAndBatchAndAgain) {
  const std::string noisy = noisy_config();
  ASSERT_EQ(run_command({"run", noisy, "-o", path("a.h5"), "--threads", "1"}).code, 0);
  const std::vector<std::vector<std::string>> ways{{"--threads", "1"},    {"--threads", "2"},
                                                   {"--threads", "3"},    {"--batch-size", "1"},
                                                   {"--batch-size", "7"}, {"--batch-size", "128"}};
  for (const auto& way : ways) {
    std::vector<std::string> arguments{"run", noisy, "-o", path("b.h5")};
    arguments.insert(arguments.end(), way.begin(), way.end());
    const CommandResult result = run_command(arguments);
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(results::compare(path("a.h5"), path("b.h5")), IsEmpty()) << way[0] << " " << way[1];
  }
}

// Without statistics nobody looks at layers, and blocks of samples go through the network on a thread each.
TEST_F(RunTest, TheScoreWithoutStatisticsIsTheSame) {
  const std::string noisy = noisy_config();
  ASSERT_EQ(run_command({"run", noisy, "-o", path("a.h5")}).code, 0);
  const double loss = accuracy(path("a.h5"), "/loss");
  for (const char* threads : {"1", "2", "3"}) {
    for (const char* batch : {"5", "31", "500"}) {
      const CommandResult result = run_command({"run", noisy, "-o", path("b.h5"), "--threads", threads, "--batch-size",
                                                batch, "--set", "output.record={statistics: false}"});
      ASSERT_EQ(result.code, 0) << result.err;
      EXPECT_EQ(accuracy(path("b.h5"), "/loss"), loss) << threads << " threads, batches of " << batch;
    }
  }
}

TEST_F(RunTest, TheComparisonCanFail) {
  const std::string noisy = noisy_config();
  ASSERT_EQ(run_command({"run", noisy, "-o", path("a.h5")}).code, 0);
  ASSERT_EQ(run_command({"run", noisy, "-o", path("b.h5"), "--seed", "2"}).code, 0);
  EXPECT_THAT(results::compare(path("a.h5"), path("b.h5")), testing::Not(IsEmpty()));
}

TEST_F(RunTest, TheResolvedTextAloneReproducesTheFile) {
  ASSERT_EQ(run_command({"run", noisy_config(), "-o", path("a.h5")}).code, 0);
  const std::string again = write("again.yaml", results::Reader(path("a.h5")).resolved_text());
  const CommandResult result = run_command({"run", again, "-o", path("b.h5")});
  ASSERT_EQ(result.code, 0) << result.err;
  std::vector<std::string> ignored = results::not_compared;
  ignored.insert(ignored.end(), {"/config/text", "/@command"});
  EXPECT_THAT(results::compare(path("a.h5"), path("b.h5"), ignored), IsEmpty());
}

TEST_F(RunTest, AChipThatWasKeptIsTheSameChipLater) {
  const std::string pcm = config("pcm_year.yaml");
  const auto run = [&](const std::string& file, const std::string& evaluation, std::vector<std::string> more) {
    std::vector<std::string> arguments{
        "run", pcm, "-o", path(file), "--limit", "60", "--quiet", "--set", "evaluation=" + evaluation};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_command(arguments);
  };
  const auto at_time = [&](const std::string& file, const std::string& variable, std::size_t time) {
    const std::vector<double> values = results::Reader(path(file)).read(variable).values;
    const std::size_t repeats = results::Reader(path(file)).read("/accuracy").shape.back();
    return std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(time * repeats),
                               values.begin() + static_cast<std::ptrdiff_t>((time + 1) * repeats));
  };
  const CommandResult first = run("a.h5", "{repeats: 2, times: [1, 3600]}", {"--set", "output.chips=" + path("c.h5")});
  ASSERT_EQ(first.code, 0) << first.err;
  const std::string kept = "{repeats: 2, times: [3600], chips: " + path("c.h5") + "}";

  const CommandResult again = run("b.h5", kept, {});
  ASSERT_EQ(again.code, 0) << again.err;
  for (const char* variable : {"/loss", "/layers/fc1/weight_sqnr_db", "/layers/fc1/sqnr_db"})
    EXPECT_EQ(at_time("b.h5", variable, 0), at_time("a.h5", variable, 1)) << variable;

  // Another seed changes the noise of the passes (and of the read-out for compensation), not the devices.
  const std::vector<std::string> uncompensated{"--set", "rpu_config.drift_compensation=null", "--seed"};
  const auto with_seed = [&](const std::string& file, const std::string& seed) {
    std::vector<std::string> arguments = uncompensated;
    arguments.push_back(seed);
    ASSERT_EQ(run(file, kept, arguments).code, 0);
  };
  with_seed("d.h5", "1");
  with_seed("e.h5", "2");
  EXPECT_EQ(at_time("d.h5", "/layers/fc1/weight_error", 0), at_time("e.h5", "/layers/fc1/weight_error", 0));
  EXPECT_NE(at_time("d.h5", "/loss", 0), at_time("e.h5", "/loss", 0));

  const CommandResult more = run("e.h5", "{repeats: 3, chips: " + path("c.h5") + "}", {});
  EXPECT_EQ(more.code, 3);
  EXPECT_THAT(more.err, HasSubstr("on chip 2"));
  const CommandResult other = run("e.h5", kept, {"--set", "rpu_config.noise_model.g_max=20"});
  EXPECT_EQ(other.code, 3);
  EXPECT_THAT(other.err, HasSubstr("programmed on other devices"));
  const CommandResult scaled = run("e.h5", kept, {"--set", "rpu_config.mapping.weight_scaling_omega=0.5"});
  EXPECT_EQ(scaled.code, 3);
  EXPECT_THAT(scaled.err, HasSubstr("other weights"));
}

TEST_F(RunTest, IdealIsIdeal) {
  for (const char* network : {"models/glyphs_cnn.onnx", "models/glyphs_mlp.onnx"}) {
    const CommandResult result = run_command({"run", config("ideal.yaml"), "-o", path("ideal.h5"), "--limit", "500",
                                              "--set", std::string("model.file=") + config(network)});
    ASSERT_EQ(result.code, 0) << result.err;
    const results::Reader reader(path("ideal.h5"));
    EXPECT_EQ(accuracy(path("ideal.h5"), "/accuracy"), accuracy(path("ideal.h5"), "/reference/accuracy"));
    for (const results::LayerInfo& layer : reader.layers())
      EXPECT_GT(reader.read(layer.group + "/sqnr_db").values.at(0), 120.0) << layer.name;
  }
}

TEST_F(RunTest, NoiseCostsAccuracyAndTheFileSaysSo) {
  const auto run = [&](const std::string& noise, const std::string& file) {
    const CommandResult result = run_command({"run", config("quickstart.yaml"), "-o", path(file), "--limit", "300",
                                              "--set", "rpu_config.forward.out_noise=" + noise});
    ASSERT_EQ(result.code, 0) << result.err;
  };
  run("0", "quiet.h5");
  run("2.0", "loud.h5");
  EXPECT_LT(accuracy(path("loud.h5"), "/accuracy"), accuracy(path("quiet.h5"), "/accuracy") - 0.2);
  EXPECT_EQ(accuracy(path("loud.h5"), "/reference/accuracy"), accuracy(path("quiet.h5"), "/reference/accuracy"));
}

TEST_F(RunTest, InspectShowsWhatIsInEveryKindOfFile) {
  ASSERT_EQ(run_command({"run", noisy_config(), "-o", path("a.h5")}).code, 0);
  const CommandResult results = run_command({"inspect", path("a.h5")});
  EXPECT_EQ(results.code, 0) << results.err;
  EXPECT_THAT(results.out, HasSubstr("conv2"));
  const CommandResult model_text = run_command({"inspect", model("glyphs_cnn.onnx")});
  EXPECT_EQ(model_text.code, 0) << model_text.err;
  EXPECT_THAT(model_text.out, HasSubstr("MACs"));
  EXPECT_THAT(model_text.out, HasSubstr("pool1        MaxPool    8x12x12")) << "shapes of digital nodes, too";
  EXPECT_EQ(run_command({"import", model("glyphs_cnn.onnx"), "-o", path("cnn.h5")}).code, 0);
  const CommandResult native = run_command({"inspect", path("cnn.h5")});
  EXPECT_EQ(native.code, 0) << native.err;
  EXPECT_THAT(native.out, HasSubstr("conv1"));
  EXPECT_EQ(run_command({"inspect", config("quickstart.yaml")}).code, 0);
}

TEST_F(RunTest, ProductsOfAttentionAreLayersOnlyWhereAsked) {
  EXPECT_THAT(run_command({"inspect", model("glyphs_attention.h5")}).out,
              HasSubstr("digital unless a rule of layers: says analog: true: scores, mix"));
  const std::vector<std::string> run{"run", config("attention.yaml"), "--limit", "32", "-o", path("a.h5"), "--set"};
  const auto with = [&](std::string key, const std::string& file) {
    std::vector<std::string> arguments = run;
    arguments[5] = path(file);
    arguments.push_back(std::move(key));
    const CommandResult result = run_command(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
  };
  with("layers=[]", "digital.h5");
  EXPECT_FALSE(results::Reader(path("digital.h5")).has("/layers/scores/sqnr_db"));
  with("rpu_config.forward.out_noise=0.04", "analog.h5");
  EXPECT_TRUE(results::Reader(path("analog.h5")).has("/layers/scores/sqnr_db"));
  // What stands in front of attention draws the same noise in both.
  for (const char* name : {"/layers/embed/sqnr_db", "/layers/query/sqnr_db", "/layers/value/sqnr_db"})
    EXPECT_EQ(results::Reader(path("digital.h5")).read(name).values,
              results::Reader(path("analog.h5")).read(name).values)
        << name;
  EXPECT_NE(results::Reader(path("digital.h5")).read("/layers/out/sqnr_db").values,
            results::Reader(path("analog.h5")).read("/layers/out/sqnr_db").values);
}

TEST_F(RunTest, ANativeModelGivesTheSameResultsAsItsOnnx) {
  ASSERT_EQ(run_command({"import", model("glyphs_cnn.onnx"), "-o", path("cnn.h5")}).code, 0);
  ASSERT_EQ(run_command({"run", noisy_config(), "-o", path("a.h5")}).code, 0);
  const CommandResult native =
      run_command({"run", noisy_config(), "-o", path("b.h5"), "--set", "model.file=" + path("cnn.h5")});
  ASSERT_EQ(native.code, 0) << native.err;
  std::vector<std::string> ignored = results::not_compared;
  ignored.insert(ignored.end(), {"/config", "/@task_id", "/@command"});
  EXPECT_THAT(results::compare(path("a.h5"), path("b.h5"), ignored), IsEmpty());
}

}  // namespace
}  // namespace tessera::cli
