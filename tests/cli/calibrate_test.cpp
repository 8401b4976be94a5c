// Does `tessera calibrate` write a model whose ranges `run` uses, says so, and refuses to use elsewhere?
#include <gmock/gmock.h>

#include "cli/command_fixture.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

class CalibrateTest : public CommandTest {
 protected:
  /// The shipped configuration with initial ranges far too small.
  std::string narrow_config() const {
    return write("narrow.yaml", fmt::format(R"(
base: {}
data: {{limit: 300}}
rpu_config: {{pre_post: {{input_range: {{init_value: 0.2}}}}}}
calibration: {{samples: 128}}
)",
                                            config("calibrate.yaml")));
  }
  CommandResult run_with(const std::string& model, const std::string& output, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"run", narrow_config(), "--set", "model.file=" + model, "-o", path(output)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_command(arguments);
  }
};

double accuracy(const std::string& file) {
  return results::Reader(file).read("/accuracy").values.at(0);
}

TEST_F(CalibrateTest, RunUsesTheRangesAndSaysSo) {
  const CommandResult made = run_command({"calibrate", narrow_config(), "-o", path("m.h5")});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.out, AllOf(HasSubstr("CACHE_QUANTILE, quantile 0.99995"), HasSubstr("conv2"),
                              HasSubstr("output peak"), HasSubstr("128 samples")));
  ASSERT_EQ(run_with(model("glyphs_cnn.onnx"), "before.h5").code, 0);
  const CommandResult after = run_with(path("m.h5"), "after.h5");
  ASSERT_EQ(after.code, 0) << after.err;
  EXPECT_THAT(after.out, HasSubstr("ranges from the model file: CACHE_QUANTILE"));
  EXPECT_GT(accuracy(path("after.h5")), accuracy(path("before.h5")) + 0.03) << "ranges of 0.2 clip nearly everything";
  // The file of results holds the ranges that were used.
  const auto numbers = io::read_calibration(path("m.h5"));
  EXPECT_EQ(results::Reader(path("after.h5")).read("/layers/conv2/input_range").values.at(0),
            numbers.at("conv2").at("input_range").at(0));
  const CommandResult shown = run_command({"inspect", path("m.h5")});
  EXPECT_THAT(shown.out, AllOf(HasSubstr("Ranges for analog layers"), HasSubstr("CACHE_QUANTILE")));
}

TEST_F(CalibrateTest, KeepsTheRangesOfDigitalQuantizers) {
  // Ranges from other data than those of the run: brighter images.
  const std::string file = write("int8.yaml", fmt::format(R"(
base: {}
data: {{limit: 100}}
calibration:
  data: {{format: glyphs, scale: 0.01, limit: 64}}
)",
                                                          config("digital_int8.yaml")));
  const CommandResult made = run_command({"calibrate", file, "-o", path("m.h5")});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.out, AllOf(HasSubstr("digital quantizers: 64 samples"), HasSubstr("conv1")));
  EXPECT_THAT(run_command({"inspect", path("m.h5")}).out, HasSubstr("Ranges of digital quantizers"));
  const auto numbers = io::read_calibration(path("m.h5")).at("conv1").at("quantization.input");
  EXPECT_NEAR(numbers.at(5), 255 * 0.01 / 255, 1e-3) << "step of 8 bits over the brightest image";
  const std::string set = "model.file=" + path("m.h5");
  ASSERT_EQ(run_command({"run", file, "-o", path("own.h5")}).code, 0);
  const CommandResult kept = run_command({"run", file, "--set", set, "-o", path("kept.h5")});
  ASSERT_EQ(kept.code, 0) << kept.err;
  EXPECT_THAT(kept.out, HasSubstr("ranges of digital quantizers from the model file"));
  const auto sqnr = [](const std::string& results) {
    return results::Reader(results).read("/layers/conv1/sqnr_db").values.at(0);
  };
  EXPECT_LT(sqnr(path("kept.h5")), sqnr(path("own.h5")) - 3.0) << "a grid for brighter images is coarser";
  io::Model damaged = io::read_model(path("m.h5"));
  damaged.calibration.at("conv1").at("quantization.input").pop_back();
  io::write_model(damaged, path("damaged.h5"));
  const CommandResult refused =
      run_command({"run", file, "--set", "model.file=" + path("damaged.h5"), "-o", path("x.h5")});
  EXPECT_EQ(refused.code, 3);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("'conv1'"), HasSubstr("damaged")));
  // Without the file's ranges the run finds its own.
  ASSERT_EQ(
      run_command({"run", file, "--set", set, "--set", "model.use_calibration=false", "-o", path("ignored.h5")}).code,
      0);
  EXPECT_EQ(sqnr(path("ignored.h5")), sqnr(path("own.h5")));
  // At another width the bounds stay and the step follows: as if the input had been calibrated at that width.
  const std::string four = "quantization.input_activation_qconfig_map.conv1.n_bits=4";
  ASSERT_EQ(run_command({"calibrate", file, "--set", four, "-o", path("m4.h5"), "--quiet"}).code, 0);
  io::Model mixed = io::read_model(path("m.h5"));
  const auto narrow = io::read_calibration(path("m4.h5")).at("conv1");
  for (const char* entry : {"quantization.input", "quantizer_bounds.input", "quantizer_law.input"})
    mixed.calibration.at("conv1").at(entry) = narrow.at(entry);
  io::write_model(mixed, path("mixed.h5"));
  const auto run_at_four = [&](const std::string& stored, const std::string& more, const std::string& results) {
    return run_command(
        {"run", file, "--set", "model.file=" + path(stored), "--set", four, "--set", more, "-o", path(results)});
  };
  const CommandResult converted = run_at_four("m.h5", "model.use_calibration=true", "converted.h5");
  ASSERT_EQ(converted.code, 0) << converted.err;
  ASSERT_EQ(run_at_four("mixed.h5", "model.use_calibration=true", "fresh.h5").code, 0);
  EXPECT_EQ(sqnr(path("converted.h5")), sqnr(path("fresh.h5")));
  EXPECT_LT(sqnr(path("converted.h5")), sqnr(path("kept.h5")) - 10.0) << "4 bits are used";
  // What an estimator looks for belongs to its width and law.
  const CommandResult other =
      run_at_four("m.h5", "quantization.input_activation_qconfig_map.conv1.range_estimator=MSE", "refused.h5");
  EXPECT_EQ(other.code, 3);
  EXPECT_THAT(other.err, AllOf(HasSubstr("input of layer 'conv1'"), HasSubstr("8 bits"), HasSubstr("4 bits"),
                               HasSubstr("use_calibration: false")));
}

TEST_F(CalibrateTest, CanBeIgnored) {
  ASSERT_EQ(run_command({"calibrate", narrow_config(), "-o", path("m.h5"), "--quiet"}).code, 0);
  ASSERT_EQ(run_with(model("glyphs_cnn.onnx"), "before.h5").code, 0);
  const CommandResult ignored = run_with(path("m.h5"), "ignored.h5", {"--set", "model.use_calibration=false"});
  ASSERT_EQ(ignored.code, 0) << ignored.err;
  std::vector<std::string> not_compared = results::not_compared;
  not_compared.insert(not_compared.end(), {"/config", "/@task_id", "/@command"});
  EXPECT_THAT(results::compare(path("before.h5"), path("ignored.h5"), not_compared), IsEmpty());
}

TEST_F(CalibrateTest, SameRangesForAnyThreadsAndBatches) {
  for (const char* type : {"CACHE_QUANTILE", "MOVING_STD"}) {
    const std::string choice = std::string("calibration.type=") + type;
    const auto made = [&](const std::string& file, const std::string& flag, const std::string& value) {
      const CommandResult result =
          run_command({"calibrate", narrow_config(), "-o", path(file), "--quiet", "--set", choice, flag, value});
      EXPECT_EQ(result.code, 0) << result.err;
      return io::read_calibration(path(file));
    };
    const auto reference = made("a.h5", "--threads", "1");
    EXPECT_EQ(reference, made("b.h5", "--threads", "3")) << type;
    EXPECT_EQ(reference, made("c.h5", "--batch-size", "7")) << type;
  }
}

TEST_F(CalibrateTest, RangesOfOtherTilesAreRefused) {
  ASSERT_EQ(run_command({"calibrate", narrow_config(), "-o", path("m.h5"), "--quiet"}).code, 0);
  const CommandResult other = run_with(path("m.h5"), "other.h5", {"--set", "rpu_config.mapping.max_input_size=32"});
  EXPECT_EQ(other.code, 3);
  EXPECT_THAT(other.err, AllOf(HasSubstr("calibrate again"), HasSubstr("layer '")));
  EXPECT_FALSE(std::filesystem::exists(path("other.h5")));
}

TEST_F(CalibrateTest, BadRequestsAreExplained) {
  const CommandResult quantile =
      run_command({"calibrate", narrow_config(), "-o", path("m.h5"), "--set", "calibration.quantile=1.5"});
  EXPECT_EQ(quantile.code, 3);
  EXPECT_THAT(quantile.err, HasSubstr("calibration.quantile"));
  EXPECT_EQ(run_command({"calibrate", narrow_config()}).code, 2) << "no output";
  const CommandResult unknown =
      run_command({"calibrate", narrow_config(), "-o", path("m.h5"), "--set", "calibration.type=MAXIMUM"});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("MAX"));
  const CommandResult none =
      run_command({"calibrate", narrow_config(), "-o", path("m.h5"), "--set",
                   "rpu_config.pre_post.input_range.enable=false", "--set", "calibration.force_all_layers=false"});
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.err, HasSubstr("no analog layer"));
  EXPECT_FALSE(std::filesystem::exists(path("m.h5")));
}

}  // namespace
}  // namespace tessera::cli
