// Does every kind of bad input end in a message that names it, the right exit code, and no half-written result?
#include <gmock/gmock.h>

#include <fmt/format.h>

#include <cstring>

#include "cli/command_fixture.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class BadInputTest : public CommandTest {
 protected:
  /// Runs a configuration over quickstart.yaml with small data and expects a refusal.
  void expect_refused(const std::string& keys, int code, const testing::Matcher<std::string>& message,
                      std::vector<std::string> more = {}) const {
    const std::string file = write("bad.yaml", fmt::format("base: {}\n{}\n", config("quickstart.yaml"), keys));
    std::vector<std::string> arguments{"run", file, "-o", path("out.h5"), "--limit", "16"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult result = run_command(arguments);
    EXPECT_EQ(result.code, code) << keys << "\n" << result.err;
    EXPECT_THAT(result.err, message) << keys;
    EXPECT_FALSE(std::filesystem::exists(path("out.h5"))) << keys;
    for (const std::string& name : files()) EXPECT_THAT(name, testing::Not(HasSubstr("partial"))) << keys;
  }
  static std::string read(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
};

TEST_F(BadInputTest, MisspeltKeysAreNamedWithTheirPositionAndNeighbour) {
  expect_refused("rpu_config: {forward: {out_nose: 0.1}}", 3,
                 AllOf(HasSubstr("bad.yaml:2:"), HasSubstr("out_nose"), HasSubstr("out_noise")));
}

TEST_F(BadInputTest, EveryProblemIsListedAtOnce) {
  expect_refused(
      "rpu_config: {forward: {out_nose: 0.1}, mapping: {max_inputsize: 3}}\nsed: 3", 3,
      AllOf(HasSubstr("out_nose"), HasSubstr("max_input_size"), HasSubstr("'seed'"), HasSubstr("3 problems")));
}

TEST_F(BadInputTest, ValuesOutOfRange) {
  expect_refused("rpu_config: {pre_post: {periph_quant: {n_bits: 99}}}", 3, HasSubstr("n_bits"));
  expect_refused("rpu_config: {act_quant_config: {n_bits: -3}}", 3, HasSubstr("n_bits"));
  expect_refused("rpu_config: {forward: {out_noise: -1}}", 3, HasSubstr("out_noise"));
  expect_refused("rpu_config: {forward: {out_noise: .nan}}", 3, HasSubstr("out_noise"));
  expect_refused("evaluation: {repeats: 0}", 3, HasSubstr("repeats"));
  expect_refused("data: {batch_size: 0}", 3, HasSubstr("batch_size"));
}

TEST_F(BadInputTest, NamesThatTheNetworkDoesNotHave) {
  expect_refused("quantization:\n  instance_qconfig_map:\n    fc22: {weight_quant: {n_bits: 4}}", 3,
                 AllOf(HasSubstr("bad.yaml:4:"), HasSubstr("fc22"), HasSubstr("did you mean 'fc2'?")));
  expect_refused("quantization:\n  excluded_modules: [conv9]", 3,
                 AllOf(HasSubstr("bad.yaml:3:"), HasSubstr("did you mean 'conv1'?")));
  expect_refused("spiking:\n  replace: [Rleu]", 3, AllOf(HasSubstr("bad.yaml:3:"), HasSubstr("did you mean 'Relu'?")));
  expect_refused("spiking:\n  instances:\n    relu9: {beta: 0.5}", 3,
                 AllOf(HasSubstr("bad.yaml:4:"), HasSubstr("relu9"), HasSubstr("did you mean 'relu1'?")));
}

// The network, not the key alone, makes these wrong: they show when a chip is programmed, or when ranges are known.
TEST_F(BadInputTest, FormatsThatTheNetworkDoesNotFitHaveAPosition) {
  const std::string head =
      "rpu_config:\n  forward: {noise_management: NONE}\n  pre_post:\n    input_range: {enable: true}\n"
      "    periph_quant: {n_bits: 0}\n    fixed_point:\n";
  const auto message =
      AllOf(HasSubstr("the bias of an output is negative"), HasSubstr("signed: true"), HasSubstr("(layer 'conv1')"));
  for (const char* range : {"calibrated", "4"})
    expect_refused(head + "      output: {range: " + range + "}\n      bias: {signed: false}", 3,
                   AllOf(HasSubstr("bad.yaml:9:22: rpu_config.pre_post.fixed_point.bias.signed"), message));
  expect_refused(head +
                     "      output: {range: 4}\nlayers:\n  - match: conv1\n    rpu_config:\n      pre_post:\n"
                     "        fixed_point: {bias: {signed: false}}",
                 3, AllOf(HasSubstr("bad.yaml:13:38: "), message));
}

TEST_F(BadInputTest, BrokenYaml) {
  const std::string file = write("bad.yaml", "rpu_config: {forward: [1, 2\n");
  const CommandResult result = run_command({"run", file, "-o", path("out.h5")});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("bad.yaml:"));
}

TEST_F(BadInputTest, MissingFiles) {
  EXPECT_EQ(run_command({"run", path("nothing.yaml"), "-o", path("out.h5")}).code, 3);
  expect_refused("model: {file: nothing.onnx}", 3, HasSubstr("nothing.onnx"));
  expect_refused("data: {format: idx, inputs: nothing.idx}", 3, HasSubstr("nothing.idx"));
  EXPECT_EQ(run_command({"inspect", path("nothing.h5")}).code, 3);
}

TEST_F(BadInputTest, DamagedModels) {
  const std::string good = read(model("glyphs_cnn.onnx"));
  write("cut.onnx", good.substr(0, good.size() / 2));
  expect_refused("model: {file: cut.onnx}", 3, HasSubstr("cut.onnx"));
  write("empty.onnx", "");
  expect_refused("model: {file: empty.onnx}", 3, HasSubstr("empty.onnx"));
  write("text.onnx", "this is not a network");
  expect_refused("model: {file: text.onnx}", 3, HasSubstr("text.onnx"));
  write("cut.h5", "\x89HDF\r\n\x1a\n and nothing else");
  expect_refused("model: {file: cut.h5}", 3, HasSubstr("cut.h5"));
}

TEST_F(BadInputTest, UnknownOperatorsAndNotANumberWeights) {
  std::string network = read(model("glyphs_cnn.onnx"));
  const std::size_t at = network.find("MaxPool");
  ASSERT_NE(at, std::string::npos);
  network.replace(at, 7, "MixPool");
  write("operator.onnx", network);
  expect_refused("model: {file: operator.onnx}", 3, AllOf(HasSubstr("operator.onnx"), HasSubstr("MixPool")));
}

TEST_F(BadInputTest, DamagedData) {
  // IDX: unsigned bytes, three axes, 4 images of 28x28, but only one image follows.
  std::string header("\0\0\x08\x03\0\0\0\x04\0\0\0\x1c\0\0\0\x1c", 16);
  write("cut.idx", header + std::string(28 * 28, 'x'));
  expect_refused("data: {format: idx, inputs: cut.idx}", 3, HasSubstr("cut.idx"));
  header[7] = 1;
  write("one.idx", header + std::string(28 * 28, 'x'));
  write("labels.idx", std::string("\0\0\x08\x01\0\0\0\x02\x01\x01", 10));
  expect_refused("data: {format: idx, inputs: one.idx, labels: labels.idx}", 3, HasSubstr("labels.idx"));
  write("label.idx", std::string("\0\0\x08\x01\0\0\0\x01\x63", 9));
  expect_refused("data: {format: idx, inputs: one.idx, labels: label.idx}", 3, HasSubstr("99"));
}

TEST_F(BadInputTest, DataOfAnotherShape) {
  std::string header("\0\0\x08\x03\0\0\0\x01\0\0\0\x05\0\0\0\x05", 16);
  write("small.idx", header + std::string(25, 'x'));
  expect_refused("data: {format: idx, inputs: small.idx}", 3, AllOf(HasSubstr("5x5"), HasSubstr("28")));
}

TEST_F(BadInputTest, PatternsThatMatchNothing) {
  expect_refused("layers: [{match: convv1, analog: false}]", 3, AllOf(HasSubstr("convv1"), HasSubstr("conv1")));
  expect_refused("output: {record: {tensors: [fc9]}}", 3, HasSubstr("fc9"));
}

TEST_F(BadInputTest, AnOutputThatCannotBeWritten) {
  const CommandResult result =
      run_command({"run", config("quickstart.yaml"), "-o", path("no/such/folder/out.h5"), "--limit", "16"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("no/such/folder"));
  EXPECT_EQ(run_command({"run", config("quickstart.yaml"), "--limit", "16"}).code, 2);
}

TEST_F(BadInputTest, AFailedRunLeavesAnOlderResultAlone) {
  write("out.h5", "precious");
  const std::string file =
      write("bad.yaml", fmt::format("base: {}\nmodel: {{file: nothing.onnx}}\n", config("quickstart.yaml")));
  EXPECT_EQ(run_command({"run", file, "-o", path("out.h5")}).code, 3);
  EXPECT_EQ(read(path("out.h5")), "precious");
}

}  // namespace
}  // namespace tessera::cli
