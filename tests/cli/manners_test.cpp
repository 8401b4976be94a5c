// Is the command quiet when told to, and does it say what is the case: in help, checks, tables and rates?
#include <gmock/gmock.h>

#include <fmt/format.h>

#include <algorithm>

#include "cli/command_fixture.hpp"
#include "tessera/core/format.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/results/reader.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class MannersTest : public CommandTest {
 protected:
  std::string small(const std::string& more = "") const {
    return write("small.yaml", fmt::format("base: {}\ndata: {{limit: 16}}\n{}", config("quickstart.yaml"), more));
  }
  /// A configuration for a network of one layer of 4 inputs, on data of its own.
  std::string with_own_data(const std::string& labels) const {
    io::write_npy(path("x.npy"), Tensor({6, 1, 28, 28}));
    return write("own.yaml", fmt::format("model: {{file: {}}}\ndata: {{format: npy, inputs: x.npy{}}}\n",
                                         model("glyphs_cnn.onnx"), labels));
  }
};

TEST_F(MannersTest, QuietSaysNothing) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"run", small(), "-o", path("r.h5"), "-q"},
           {"doctor", small(), "-o", path("d.h5"), "-q"},
           {"data", small(), "-o", path("data.h5"), "-q"},
           {"import", model("glyphs_cnn.onnx"), "-o", path("m.h5"), "-q"},
           {"calibrate", small(), "-o", path("c.h5"), "-q"},
           {"sweep", small("sweep: {axes: {seed: [1, 2]}}"), "-o", path("s.h5"), "-q"}}) {
    const CommandResult result = run_command(arguments);
    EXPECT_EQ(result.code, 0) << arguments.front() << result.err;
    EXPECT_THAT(result.out, IsEmpty()) << arguments.front();
    EXPECT_THAT(result.err, IsEmpty()) << arguments.front();
  }
  EXPECT_THAT(run_command({"run", small(), "-o", path("r.h5")}).out, HasSubstr("accuracy"));
}

TEST_F(MannersTest, HelpListsEveryCommand) {
  const std::string help = run_command({"help"}).out;
  for (const char* command : {"run", "sweep", "calibrate", "train", "search", "merge", "doctor", "report", "inspect",
                              "config", "schema", "import", "data", "help"})
    EXPECT_THAT(help, HasSubstr(fmt::format("\n  {} ", command)));
  EXPECT_EQ(help.find("TOPIC"), std::string::npos);
}

TEST_F(MannersTest, CheckOpensWhatTheRunWould) {
  EXPECT_THAT(run_command({"config", small(), "--check"}).out, HasSubstr(": ok\n"));
  const auto refused = [&](const std::string& set, const std::string& message) {
    const CommandResult result = run_command({"config", small(), "--check", "--set", set});
    EXPECT_EQ(result.code, 3) << set << result.out;
    EXPECT_THAT(result.err, HasSubstr(message)) << set;
  };
  refused("model.file=nowhere.onnx", "nowhere.onnx");
  refused("data={format: npy, inputs: nowhere.npy}", "nowhere.npy");
  refused("layers=[{match: fc9, analog: false}]", "'fc9' matches no layer");
  refused("rpu_config={noise_model: {type: PCMLikeNoiseModel}, faults: {map: nowhere.npy}}", "nowhere.npy");
  refused("sweep={axes: {rpu_config.forward.out_noise: [-1]}}", "out_noise");
}

TEST_F(MannersTest, InspectTellsLabelsFromTargets) {
  io::write_npy(path("targets.npy"), Tensor({6, 10}));
  EXPECT_THAT(run_command({"inspect", with_own_data(", labels: targets.npy")}).out, HasSubstr("with targets"));
  EXPECT_THAT(run_command({"inspect", with_own_data("")}).out, HasSubstr("without labels"));
  EXPECT_THAT(run_command({"inspect", small()}).out, HasSubstr("labelled"));
}

TEST_F(MannersTest, InspectTakesAShape) {
  EXPECT_THAT(run_command({"inspect", model("glyphs_cnn.onnx"), "--shape", "1x28x28"}).out, HasSubstr("conv1"));
  EXPECT_EQ(run_command({"inspect", model("glyphs_cnn.onnx"), "--shape", "1x28x29"}).code, 3);
  for (const char* wrong : {"", "3x", "axb", "0x3", "-1"})
    EXPECT_EQ(run_command({"inspect", model("glyphs_cnn.onnx"), "--shape", wrong}).code, 2) << wrong;
}

TEST_F(MannersTest, TheMemoryOfARunIsKnown) {
  ASSERT_EQ(run_command({"run", small(), "-o", path("r.h5"), "-q"}).code, 0);
  const double bytes = results::Reader(path("r.h5")).read("/runtime/peak_memory").values.front();
  EXPECT_GT(bytes, 1e6);
  EXPECT_LT(bytes, 1e11);
}

TEST_F(MannersTest, TheTableKeepsTimesApart) {
  const CommandResult result =
      run_command({"run",
                   small("rpu_config: {noise_model: {type: PCMLikeNoiseModel}, drift_compensation: null}\n"
                         "evaluation: {times: [1, 3600, 31536000]}\n"),
                   "-o", path("r.h5")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("SQNR dB, 1 s"), HasSubstr("SQNR dB, 1 h"), HasSubstr("SQNR dB, 1 year"),
                                HasSubstr("alone dB, 1 year")));
  EXPECT_THAT(run_command({"run", small(), "-o", path("r.h5")}).out, Not(HasSubstr("SQNR dB,")));
}

TEST_F(MannersTest, ANetworkWithoutTilesIsNoticed) {
  const std::vector<std::string> all_digital{"run", small("layers: [{match: '*', analog: false}]"), "-o", path("r.h5")};
  EXPECT_THAT(run_command(all_digital).err, HasSubstr("no layer of this network is on tiles"));
  EXPECT_THAT(run_command({"run", small(), "-o", path("r.h5")}).err, Not(HasSubstr("on tiles")));
}

TEST(RateTest, SlowIsNotNothing) {
  EXPECT_EQ(format_rate(0.0123), "0.0123");
  EXPECT_EQ(format_rate(0.5), "0.5");
  EXPECT_EQ(format_rate(12.34), "12.3");
  EXPECT_EQ(format_rate(931405.7), "931,405");
}

}  // namespace
}  // namespace tessera::cli
