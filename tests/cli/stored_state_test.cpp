// Does what a model file holds ever win over the configuration, whichever command asks? And is a user told when the
// ranges of a layer make its results worthless?
#include <gmock/gmock.h>

#include "cli/command_fixture.hpp"
#include "tessera/results/reader.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class StoredStateTest : public CommandTest {
 protected:
  /// A network with a positive scale and a bias in every layer, trained for a few steps at 8 bits. Its input ranges
  /// clip nothing that would hide what the bits of the periphery cost.
  std::string config_with(const std::string& periphery, const std::string& more = "") const {
    return write("state.yaml", fmt::format(R"(
model: {{file: {}}}
data: {{format: glyphs, scale: 0.0039, limit: 100}}
rpu_config:
  forward: {{out_noise: 0.0, noise_management: NONE}}
  mapping: {{weight_scaling_omega: 1}}
  pre_post:
    input_range: {{enable: true, init_std_alpha: 10}}
    periph_quant: {}
training:
  data: {{format: glyphs, glyphs: {{split: train, count: 64}}, scale: 0.0039}}
  digital_epochs: 0
  analog_epochs: 2
  batch_size: 16
  lr: 0.0001
{})",
                                           model("glyphs_mlp.onnx"), periphery, more));
  }
  CommandResult run_with(const std::vector<std::string>& words, const std::vector<std::string>& settings) const {
    std::vector<std::string> all = words;
    for (const std::string& setting : settings) all.insert(all.end(), {"--set", setting});
    return run_command(all);
  }
  std::string trained_model() const { return "model.file=" + path("trained.h5"); }
  std::vector<double> values(const std::string& file, const std::string& variable) const {
    return results::Reader(path(file)).read(variable).values;
  }
};

constexpr const char* bits_key = "rpu_config.pre_post.periph_quant.n_bits";

/// 4 bits on a network that was trained at 8: what the bits cost, not what the wrong step costs. With the 8-bit step of
/// the stored range every scale would be 16 times too small (0.6 dB).
TEST_F(StoredStateTest, RangesThatWereNotLearnedFollowTheBits) {
  const std::string file = config_with("{n_bits: 8}", fmt::format("sweep: {{axes: {{{}: [4, 6, 8, 0]}}}}", bits_key));
  ASSERT_EQ(run_command({"train", file, "-o", path("trained.h5"), "-q"}).code, 0);
  const CommandResult swept = run_with({"sweep", file, "-o", path("sweep.h5"), "-q"}, {trained_model()});
  ASSERT_EQ(swept.code, 0) << swept.err;
  for (const char* layer : {"fc1", "fc2"}) {
    const std::string variable = fmt::format("/layers/{}/sqnr_db_isolated", layer);
    const std::vector<double> sqnr = values("sweep.h5", variable);
    ASSERT_EQ(sqnr.size(), 4U);
    EXPECT_GT(sqnr[0], 15.0) << layer << " at 4 bits";
    EXPECT_GT(sqnr[1], sqnr[0]) << layer;
    EXPECT_GT(sqnr[0], sqnr[3] - 1.0) << layer << ": a positive scale loses next to nothing at 4 bits";
    // Every point is a single run's.
    for (const auto& [point, bits] : std::vector<std::pair<std::size_t, int>>{{0, 4}, {2, 8}, {3, 0}}) {
      const CommandResult run = run_with({"run", file, "-o", path("run.h5"), "-q"},
                                         {trained_model(), fmt::format("{}={}", bits_key, bits), "sweep=null"});
      ASSERT_EQ(run.code, 0) << run.err;
      EXPECT_EQ(values("run.h5", variable).at(0), sqnr[point]) << layer << ", " << bits << " bits";
      EXPECT_EQ(values("run.h5", "/loss").at(0), values("sweep.h5", "/loss")[point]);
    }
  }
  // Other laws, too.
  for (const char* law : {"power_of_two: true", "symmetric: false", "per_column: true"}) {
    const CommandResult run = run_with(
        {"run", file, "-o", path("run.h5"), "-q"},
        {trained_model(), fmt::format("rpu_config.pre_post.periph_quant={{n_bits: 6, {}}}", law), "sweep=null"});
    ASSERT_EQ(run.code, 0) << law << run.err;
    EXPECT_GT(values("run.h5", "/layers/fc1/sqnr_db_isolated").at(0), 18.0) << law;
  }
}

TEST_F(StoredStateTest, RangesThatWereLearnedRefuseOtherBits) {
  const std::string learned = "{n_bits: 8, learn_quant_params: true, init_learning_after: 1}";
  const std::string file = config_with(
      learned,
      fmt::format("sweep: {{axes: {{{0}: [4, 8]}}}}\nsearch: {{keys: [{0}], bits: [2, 4], budget: 5 %}}", bits_key));
  ASSERT_EQ(run_command({"train", file, "-o", path("trained.h5"), "-q"}).code, 0);
  const auto refused = AllOf(HasSubstr(bits_key), HasSubstr("'fc1'"), HasSubstr("'fc2'"), HasSubstr("n_bits = 8"),
                             HasSubstr("has 4"), HasSubstr("model.use_calibration: false"));
  const CommandResult run =
      run_with({"run", file, "-o", path("run.h5")}, {trained_model(), fmt::format("{}=4", bits_key)});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, refused);
  EXPECT_FALSE(std::filesystem::exists(path("run.h5")));
  const CommandResult swept = run_with({"sweep", file, "-o", path("sweep.h5")}, {trained_model()});
  EXPECT_EQ(swept.code, 3);
  EXPECT_THAT(swept.err, refused);
  EXPECT_FALSE(std::filesystem::exists(path("sweep.h5.points"))) << "refused before the first point";
  const CommandResult searched = run_with({"search", file, "-o", path("found.yaml")}, {trained_model()});
  EXPECT_EQ(searched.code, 3);
  EXPECT_THAT(searched.err, AllOf(HasSubstr("'fc1'"), HasSubstr("model.use_calibration: false")));
  const CommandResult again =
      run_with({"train", file, "-o", path("again.h5")}, {trained_model(), fmt::format("{}=4", bits_key)});
  EXPECT_EQ(again.code, 3);
  EXPECT_THAT(again.err, refused);
  // The width that was learned, and the way out.
  EXPECT_EQ(run_with({"run", file, "-o", path("run.h5"), "-q"}, {trained_model()}).code, 0);
  EXPECT_EQ(run_with({"run", file, "-o", path("run.h5"), "-q"},
                     {trained_model(), fmt::format("{}=4", bits_key), "model.use_calibration=false"})
                .code,
            0);
}

TEST_F(StoredStateTest, AForcedCalibrationIsNoSilentAxis) {
  const std::string file = write("forced.yaml", fmt::format(R"(
model: {{file: {}}}
data: {{format: glyphs, scale: 0.0039, limit: 40}}
rpu_config: {{forward: {{noise_management: ABS_MAX}}}}
sweep: {{axes: {{rpu_config.forward.noise_management: [NONE, ABS_MAX]}}}}
)",
                                                            model("glyphs_mlp.onnx")));
  ASSERT_EQ(run_command({"calibrate", file, "-o", path("trained.h5"), "-q"}).code, 0);
  const CommandResult run = run_with({"run", file, "-o", path("run.h5")}, {trained_model()});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, AllOf(HasSubstr("note:"), HasSubstr("force_all_layers"), HasSubstr("fc1")));
  const CommandResult swept = run_with({"sweep", file, "-o", path("sweep.h5")}, {trained_model()});
  EXPECT_EQ(swept.code, 3);
  EXPECT_THAT(swept.err, AllOf(HasSubstr("forward.noise_management"), HasSubstr("force_all_layers: false")));
}

TEST_F(StoredStateTest, RangesThatCutOffAreSaidByEveryCommand) {
  const std::string narrow = "rpu_config.pre_post.input_range.init_value=0.05";
  const std::string file = config_with("{n_bits: 0}", "sweep: {axes: {rpu_config.forward.out_res: [62, 254]}}");
  for (const char* statistics : {"true", "false"}) {
    const std::string record = fmt::format("output.record.statistics={}", statistics);
    const CommandResult run = run_with({"run", file, "-o", path("run.h5")}, {narrow, record});
    ASSERT_EQ(run.code, 0) << run.err;
    EXPECT_THAT(run.err,
                AllOf(HasSubstr("warning: layer 'fc1'"), HasSubstr("% of its inputs"), HasSubstr("tessera calibrate")));
    const CommandResult swept =
        run_with({"sweep", file, "-o", path(fmt::format("sweep_{}.h5", statistics))}, {narrow, record});
    ASSERT_EQ(swept.code, 0) << swept.err;
    std::size_t said = 0;
    for (std::size_t at = swept.err.find("warning: layer 'fc1'"); at != std::string::npos;
         at = swept.err.find("warning: layer 'fc1'", at + 1))
      ++said;
    EXPECT_EQ(said, 1U) << swept.err;
    const CommandResult quiet =
        run_with({"run", file, "-o", path("run.h5")}, {"rpu_config.pre_post.input_range.init_value=100", record});
    EXPECT_THAT(quiet.err, Not(HasSubstr("warning: layer")));
  }
  const CommandResult calibrated = run_with({"calibrate", file, "-o", path("c.h5")},
                                            {"calibration.quantile=0.3", "calibration.absolute_values=true"});
  ASSERT_EQ(calibrated.code, 0) << calibrated.err;
  EXPECT_THAT(calibrated.err, HasSubstr("warning: layer 'fc"));
}

}  // namespace
}  // namespace tessera::cli
