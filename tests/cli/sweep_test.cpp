// Are sweeps labelled hypercubes of what runs give, do points share without a trace, and are bad axes refused before
// anything runs? (Killed, sharded and distributed sweeps: sweep_ways_test.cpp.)
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "cli/command_fixture.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"
#include "tessera/sim/sweep.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
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
  EXPECT_THAT(result.out, AllOf(HasSubstr("6 points"), HasSubstr("480 samples")));
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
  expect_refused("{axes: {layers.fc9.analog: [true, false]}}",
                 AllOf(ContainsRegex("sweep.yaml:[0-9]+:[0-9]+: layers"), HasSubstr("'fc9' matches no layer"),
                       HasSubstr("did you mean 'fc")));
  expect_refused("{axes: {seed: {range: [1, 10000000]}}}", ContainsRegex("sweep.yaml:[0-9]+:[0-9]+: .*10000000"));
  // What is wrong at many points is said once.
  expect_refused("{axes: {seed: {range: [1, 50]}, rpu_config.forward.out_res: [14, abc]}}",
                 AllOf(HasSubstr("1 problem in"), ContainsRegex("sweep.yaml:[0-9]+:[0-9]+: rpu_config.forward.out_res"),
                       HasSubstr("'abc' (first at the sweep's point seed=1")));
  EXPECT_EQ(run_command({"sweep", config("quickstart.yaml"), "-o", path("out.h5")}).code, 3);
  EXPECT_EQ(run_command({"sweep", periphery(), "-o", path("out.h5"), "--shard", "3/2"}).code, 2);
}

// --- what points share, and what they do not depend on -------------------------------------------------------------

class SharingTest : public SweepTest {
 protected:
  void expect_same(const std::string& a, const std::string& b) const {
    EXPECT_THAT(results::compare(path(a), path(b), {"/runtime", "/@created_utc"}), IsEmpty()) << a << " " << b;
  }
  void run_sweep(const std::string& file, const std::string& output, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"sweep", file, "-o", path(output), "-q"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult result = run_command(arguments);
    ASSERT_EQ(result.code, 0) << result.err;
  }
};

TEST_F(SharingTest, SharingChangesNoBit) {
  // Periphery of all layers, of one layer, the ADC of one layer, and devices that drift and are compensated.
  const std::string file = sweep_config(
      R"({axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 5, 0], layers.fc1.rpu_config.forward.out_res: [14, 254],
      layers.fc2.rpu_config.pre_post.periph_quant.n_bits: [3, 8]}})",
      "rpu_config: {noise_model: {type: PCMLikeNoiseModel}, drift_compensation: {type: GlobalDriftCompensation}}");
  const std::vector<std::string> chips{"--set", "evaluation.repeats={program: 2, read: 2}", "--set",
                                       "evaluation.times=[0, 86400]"};
  run_sweep(file, "shared.h5", chips);
  std::vector<std::string> apart = chips;
  apart.insert(apart.end(), {"--no-share", "--threads", "1", "--batch-size", "7"});
  run_sweep(file, "alone.h5", apart);
  expect_same("shared.h5", "alone.h5");
  EXPECT_TRUE(results::Reader(path("shared.h5")).complete());
}

TEST_F(SharingTest, ActivationQuantizersAndDigitalQuantizationGoTogetherToo) {
  const std::string file = sweep_config(
      "{axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 0], layers.fc1.analog: [true, false],"
      " rpu_config.act_quant_config.n_bits: [4, 8]}}",
      "quantization: {default_qconfig: {activation_quant: {n_bits: 6}}}");
  run_sweep(file, "shared.h5");
  run_sweep(file, "alone.h5", {"--no-share"});
  expect_same("shared.h5", "alone.h5");
}

TEST_F(SharingTest, ACalibratedNetworkIsSharedWithItsRanges) {
  const std::string trained = write("calibrate.yaml", fmt::format("base: {}\n", config("calibrate.yaml")));
  ASSERT_EQ(run_command({"calibrate", trained, "-o", path("model.h5"), "-q", "--set", "calibration.samples=32"}).code,
            0);
  const std::string file = sweep_config(
      R"({axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 5], model.use_calibration: [true, false],
      layers.fc2.rpu_config.pre_post.periph_quant.symmetric: [true, false]}})",
      "rpu_config: {noise_model: {type: PCMLikeNoiseModel}}");
  const std::vector<std::string> model{"--set", "model.file=" + path("model.h5")};
  run_sweep(file, "shared.h5", model);
  run_sweep(file, "alone.h5", {"--set", "model.file=" + path("model.h5"), "--no-share"});
  expect_same("shared.h5", "alone.h5");
  const std::vector<double> loss = results::Reader(path("shared.h5")).read("/loss").values;
  EXPECT_NE(loss.at(0), loss.at(4)) << "the calibration changes nothing: the test shows nothing";
}

TEST_F(SharingTest, AnIsolatedSweepGivesTheErrorsOfEachLayerAlone) {
  const std::string axes = "axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 4, 0]}";
  run_sweep(sweep_config("{" + axes + "}"), "whole.h5");
  const std::string isolated = sweep_config("{isolated: true, " + axes + "}");
  run_sweep(isolated, "isolated.h5");
  run_sweep(isolated, "apart.h5", {"--no-share"});
  expect_same("isolated.h5", "apart.h5");
  const results::Reader whole(path("whole.h5")), alone(path("isolated.h5"));
  EXPECT_FALSE(alone.has("/accuracy"));
  EXPECT_THAT(results::check_schema(h5::File::open(path("isolated.h5"))), IsEmpty());
  const results::NamedArray matrix = alone.read("/sqnr_db_isolated");
  EXPECT_THAT(matrix.dims, ElementsAre("n_bits", "time", "repeat", "layer"));
  const std::vector<results::LayerInfo> layers = alone.layers();
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const std::vector<double> expected = whole.read(layers[l].group + "/sqnr_db_isolated").values;
    EXPECT_EQ(alone.read(layers[l].group + "/sqnr_db_isolated").values, expected);
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(matrix.values[i * layers.size() + l], expected[i]);
  }
}

TEST_F(SharingTest, ChipsAreAddedUntilTheIntervalIsSmallEnough) {
  const std::string axes = "axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 3, 0]}";
  const std::string file = sweep_config("{" + axes + ", stop: {half_width: 2.5, max_repeats: 6}}");
  run_sweep(file, "plain.h5");
  const results::Reader plain(path("plain.h5"));
  EXPECT_TRUE(plain.complete());
  EXPECT_THAT(results::check_schema(h5::File::open(path("plain.h5"))), IsEmpty());
  const std::vector<double> chips = plain.read("/chips").values;
  const results::NamedArray accuracy = plain.read("/accuracy");
  ASSERT_EQ(accuracy.shape, (Shape{3, 1, 6}));
  for (std::size_t p = 0; p < 3; ++p) {
    std::vector<double> values(accuracy.values.begin() + 6 * static_cast<std::ptrdiff_t>(p),
                               accuracy.values.begin() + 6 * static_cast<std::ptrdiff_t>(p) + 6);
    const auto used = static_cast<std::size_t>(chips[p]);
    const sim::StopParameters stop{.half_width = 2.5, .max_repeats = 6};
    for (std::size_t n = 2; n < used; ++n)
      EXPECT_FALSE(sim::is_precise_enough(stop, {values.begin(), values.begin() + static_cast<std::ptrdiff_t>(n)}));
    EXPECT_TRUE(used == 6 ||
                sim::is_precise_enough(stop, {values.begin(), values.begin() + static_cast<std::ptrdiff_t>(used)}));
    for (std::size_t n = used; n < 6; ++n) EXPECT_TRUE(std::isnan(values[n])) << "fill value";
  }
  EXPECT_LT(*std::min_element(chips.begin(), chips.end()), 6) << "no point stopped early: the test shows nothing";
  run_sweep(file, "serial.h5", {"--threads", "1", "--no-share"});
  expect_same("plain.h5", "serial.h5");
  run_sweep(file, "one.h5", {"--shard", "1/2"});
  run_sweep(file, "two.h5", {"--shard", "2/2"});
  ASSERT_EQ(run_command({"merge", path("two.h5"), path("one.h5"), "-o", path("merged.h5")}).code, 0);
  expect_same("plain.h5", "merged.h5");
}

TEST_F(SharingTest, MoreChipsOrAnotherRuleUseTheChipsThatAreThere) {
  const std::string axes = "axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 0]}";
  run_sweep(sweep_config("{" + axes + "}"), "a.h5", {"--shard", "1/2"});
  ASSERT_TRUE(std::filesystem::exists(path("a.h5.points")));
  const CommandResult more =
      run_command({"sweep", sweep_config("{" + axes + "}"), "-o", path("a.h5"), "--set", "evaluation.repeats=3"});
  ASSERT_EQ(more.code, 0) << more.err;
  run_sweep(sweep_config("{" + axes + "}"), "b.h5", {"--set", "evaluation.repeats=3"});
  expect_same("a.h5", "b.h5");
}

TEST_F(SharingTest, AMovedSweepContinues) {
  namespace fs = std::filesystem;
  fs::create_directories(path("here"));
  fs::copy_file(model("glyphs_cnn.onnx"), path("here/model.onnx"));
  write("here/base.yaml", R"(
model: {file: model.onnx}
data: {format: glyphs, limit: 30}
sweep: {axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 3, 4]}}
)");
  run_sweep(path("here/base.yaml"), "here/out.h5", {"--shard", "1/3"});
  fs::rename(path("here"), path("there"));
  fs::rename(path("there/base.yaml"), path("there/renamed.yaml"));
  const CommandResult rest = run_command({"sweep", path("there/renamed.yaml"), "-o", path("there/out.h5")});
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_THAT(rest.out, HasSubstr("2 points computed, 1 found or shared"));
  // Another file under the same name is another network.
  run_sweep(path("there/renamed.yaml"), "there/again.h5", {"--shard", "1/3"});
  fs::copy_file(model("glyphs_mlp.onnx"), path("there/model.onnx"), fs::copy_options::overwrite_existing);
  const CommandResult other = run_command({"sweep", path("there/renamed.yaml"), "-o", path("there/again.h5")});
  ASSERT_EQ(other.code, 0) << other.err;
  EXPECT_THAT(other.out, HasSubstr("3 points computed, 0 found"));
}

TEST_F(SharingTest, MpiRanksGiveTheSameFile) {
  const std::string mpirun = "/usr/bin/mpirun";
  const std::string command = TESSERA_BINARY_DIR + "/bin/tessera";
  if (!std::filesystem::exists(mpirun)) GTEST_SKIP() << "no mpirun";
  const std::string file = sweep_config(
      "{axes: {rpu_config.pre_post.periph_quant.n_bits: [2, 4, 0]}, stop: {half_width: 2.5, max_repeats: 4}}");
  run_sweep(file, "plain.h5");
  const std::string launch = mpirun + " --allow-run-as-root --oversubscribe -n 3 " + command;
  const std::string log = path("mpi.log");
  const int status = std::system(
      fmt::format("{} sweep {} -o {} --no-share --threads 1 > {} 2>&1", launch, file, path("mpi.h5"), log).c_str());
  std::ifstream stream(log);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (text.find("built without MPI") != std::string::npos) GTEST_SKIP() << "built without MPI";
  ASSERT_EQ(status, 0) << text;
  expect_same("plain.h5", "mpi.h5");
  // One message, one exit code, from all ranks together.
  EXPECT_NE(
      std::system(fmt::format("{} sweep {} -o {} > {} 2>&1", launch, path("none.yaml"), path("x.h5"), log).c_str()), 0);
  std::ifstream errors(log);
  const std::string said{std::istreambuf_iterator<char>(errors), {}};
  const std::size_t first = said.find("none.yaml");
  ASSERT_NE(first, std::string::npos) << said;
}

TEST_F(SharingTest, RulesThatMakeNoSenseAreRefused) {
  const std::string axes = "axes: {seed: [1, 2]}";
  expect_refused("{" + axes + ", isolated: true, stop: {half_width: 1}}", HasSubstr("isolated"));
  expect_refused("{" + axes + ", stop: {half_width: 0}}", HasSubstr("half_width"));
  expect_refused("{" + axes + ", stop: {max_repeats: 1}}", HasSubstr("max_repeats"));
  expect_refused("{" + axes + ", stop: {half_with: 1}}", HasSubstr("half_width"));
}

}  // namespace
}  // namespace tessera::cli
