// Do the exported files hold everything that reproduces the outputs?
#include "tessera/app/export.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "nn/network.hpp"
#include "support/source_dir.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/config/document.hpp"
#include "tessera/core/error.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/kernels/fixed_point.hpp"

namespace tessera::app {
namespace {

using config::Node;
using kernels::FixedPointOverflow;
using kernels::FixedPointRounding;

std::int64_t number(const Node& node, const char* key) {
  return std::stoll(node.find(key)->scalar);
}

FixedPointRounding rounding_of(const std::string& name) {
  const char* names[] = {"nearest_even", "half_up", "half_away", "truncate", "toward_zero", "stochastic"};
  for (int i = 0; i < 6; ++i)
    if (name == names[i]) return static_cast<FixedPointRounding>(i);
  throw InputError("no rounding is called " + name);
}
FixedPointOverflow overflow_of(const std::string& name) {
  return name == "wrap" ? FixedPointOverflow::wrap : FixedPointOverflow::saturate;
}

class Export : public ::testing::Test {
 protected:
  Export() : directory_(std::filesystem::path(::testing::TempDir()) / "exported_codes") {
    std::filesystem::remove_all(directory_);
  }
  ~Export() override { std::filesystem::remove_all(directory_); }

  CodeExport run(const std::vector<std::string>& overrides) {
    return Simulation::load(TESSERA_SOURCE_DIR + "/configs/fixed_point.yaml", overrides)
        .export_codes({.directory = directory_.string(), .samples = 2, .vectors = 20}, {.parallel = {2}});
  }
  Tensor array(const Node& node, const char* key) const {
    return io::read_npy((directory_ / node.find(key)->scalar).string());
  }
  Node description() const {
    std::ostringstream text;
    text << std::ifstream(directory_ / "codes.json").rdbuf();
    return config::load_text(text.str(), {"codes.json", {}});
  }

  /// Every output of every part from the ADC codes by the reference; how many there were.
  int replay(const Node& part) const {
    const Node& formats = *part.find("formats");
    kernels::FixedPointDatapath path;
    path.cut = static_cast<int>(number(formats, "product_cut"));
    path.product_rounding = rounding_of(formats.find("product_rounding")->scalar);
    path.accumulator_bits = static_cast<int>(number(formats, "accumulator_bits"));
    path.fraction_bits = static_cast<int>(number(formats, "accumulator_fraction_bits"));
    path.accumulator_overflow = overflow_of(formats.find("accumulator_overflow")->scalar);
    path.relu = formats.find("relu")->scalar == "true";
    path.output_bits = static_cast<int>(number(formats, "output_bits"));
    path.output_signed = formats.find("output_signed")->scalar == "true";
    path.output_rounding = rounding_of(formats.find("output_rounding")->scalar);
    path.output_overflow = overflow_of(formats.find("output_overflow")->scalar);
    const bool at_tile = formats.find("bias_at")->scalar == "tile";
    const Tensor output = array(part, "output"), accumulator = array(part, "accumulator");
    int compared = 0;
    for (std::int64_t r = 0; r < output.dim(0); ++r)
      for (std::int64_t i = 0; i < output.dim(1); ++i) {
        std::vector<kernels::FixedPointTerm> terms;
        std::int64_t bias = 0;
        for (const Node& tile : part.find("tiles")->items) {
          const std::int64_t c = i - number(tile, "first_output"), columns = number(tile, "outputs");
          if (c < 0 || c >= columns) continue;
          const auto at = [&](const char* key, std::int64_t n) {
            return static_cast<std::int64_t>(array(tile, key).data()[n]);
          };
          kernels::FixedPointTerm term;
          term.code = at("adc", r * columns + c);
          term.multiplier = at("scale_code", c);
          term.shift = static_cast<int>(at("shift", c));
          if (tile.find("bias_aligned") != nullptr) (at_tile ? term.bias : bias) = at("bias_aligned", c);
          EXPECT_EQ(at("product", r * columns + c), term.code * term.multiplier);
          terms.push_back(term);
        }
        EXPECT_EQ(kernels::reference::fixed_point_output(path, terms, bias),
                  static_cast<std::int64_t>(output.data()[r * output.dim(1) + i]));
        kernels::FixedPointDatapath open = path;
        open.output_bits = 0;
        open.relu = false;
        EXPECT_EQ(kernels::reference::fixed_point_output(open, terms, bias),
                  static_cast<std::int64_t>(accumulator.data()[r * output.dim(1) + i]));
        ++compared;
      }
    return compared;
  }

  std::filesystem::path directory_;
};

TEST_F(Export, ItsFilesReplay) {
  const CodeExport written = run({"rpu_config.mapping.max_input_size=100", "data.limit=64"});
  EXPECT_GT(written.files, 10);
  EXPECT_TRUE(written.skipped.empty());
  const Node root = description();
  EXPECT_EQ(root.find("format")->scalar, "tessera-codes 1");
  int compared = 0, several = 0;
  for (const Node& layer : root.find("layers")->items)
    for (const Node& part : layer.find("parts")->items) {
      SCOPED_TRACE(part.find("name")->scalar);
      several += part.find("tiles")->items.size() > 1 ? 1 : 0;
      compared += replay(part);
    }
  EXPECT_GT(compared, 200);
  EXPECT_GT(several, 0);
}

// Gates of a recurrent layer, groups of a convolution, an Add of different steps: each with files that replay.
TEST_F(Export, LayersOfSeveralPartsAndAddsReplay) {
  using nn::test::random_tensor;
  nn::test::Network net;
  const nn::ValueId x = net.input({-1, 4, 6, 6});
  const std::map<std::string, nn::Attribute> padded{{"pads", std::vector<std::int64_t>{1, 1, 1, 1}},
                                                    {"group", std::int64_t{2}}};
  const auto conv = [&](nn::ValueId from, std::uint32_t seed, const char* name) {
    return net.node("Conv", {from, net.constant(random_tensor({4, 2, 3, 3}, seed, 0.3F), "w")}, padded, name);
  };
  const nn::ValueId a = net.node("Relu", {conv(x, 1, "one")});
  const nn::ValueId b = net.node("Add", {conv(a, 2, "two"), a}, {}, "meets");
  const nn::ValueId c = conv(net.node("Relu", {b}), 3, "three");
  const nn::ValueId steps = net.node("Transpose", {net.node("Reshape", {c, net.integers({-1, 6, 24})})},
                                     {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
  const nn::ValueId states = net.nodes("GRU",
                                       {steps, net.constant(random_tensor({1, 15, 24}, 4, 0.3F), "W"),
                                        net.constant(random_tensor({1, 15, 5}, 5, 0.3F), "R")},
                                       2, {{"hidden_size", std::int64_t{5}}}, "gru")[1];
  const nn::ValueId last = net.node("Squeeze", {states, net.integers({0})});
  net.output(
      net.node("Gemm", {last, net.constant(random_tensor({3, 5}, 6, 0.3F), "w")}, {{"transB", std::int64_t{1}}}, "fc"));
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "export_parts";
  std::filesystem::create_directories(folder);
  io::write_model({net.graph, {}, {}}, (folder / "net.h5").string());
  io::write_npy((folder / "x.npy").string(), random_tensor({40, 4, 6, 6}, 9));
  const CodeExport written =
      Simulation::parse(
          "model: {file: net.h5}\ndata: {format: npy, inputs: x.npy}\n"
          "rpu_config:\n"
          "  forward: {inp_res: 254, out_res: 254, out_bound: 6, noise_management: NONE, bound_management: "
          "NONE}\n"
          "  mapping: {weight_scaling_omega: 1.0}\n"
          "  pre_post: {input_range: {enable: true}, fixed_point: {scale: {exponent: per_tile}}}\n",
          "parts.yaml", folder.string(), {})
          .export_codes({.directory = directory_.string(), .samples = 3, .vectors = 12}, {.parallel = {2}});
  EXPECT_TRUE(written.skipped.empty());
  EXPECT_EQ(written.layers, (std::vector<std::string>{"one", "two", "three", "gru", "fc"}));
  const Node root = description();
  std::vector<std::size_t> parts;
  int compared = 0;
  for (const Node& layer : root.find("layers")->items) {
    parts.push_back(layer.find("parts")->items.size());
    for (const Node& part : layer.find("parts")->items) {
      SCOPED_TRACE(part.find("name")->scalar);
      EXPECT_GT(number(part, "vectors"), 0);
      compared += replay(part);
    }
  }
  EXPECT_EQ(parts[0], 2U);
  EXPECT_GT(parts[3], 1U);
  EXPECT_GT(compared, 200);
  ASSERT_EQ(root.find("adds")->items.size(), 1U);
  const Node& sum = root.find("adds")->items.front();
  EXPECT_EQ(sum.find("name")->scalar, "meets");
  EXPECT_EQ(sum.find("layer")->scalar, "three");
  const Tensor first = array(sum, "first"), second = array(sum, "second"), output = array(sum, "output");
  ASSERT_EQ(output.size(), 12);
  const auto multiplier = [&](std::size_t k) { return std::stoll(sum.find("multiplier")->items[k].scalar); };
  const auto code_of = [](const Tensor& codes, std::int64_t i) { return static_cast<std::int64_t>(codes.data()[i]); };
  for (std::int64_t i = 0; i < output.size(); ++i) {
    const std::int64_t s = code_of(first, i) * multiplier(0) + code_of(second, i) * multiplier(1);
    const auto o = static_cast<std::int64_t>(kernels::round_shift(
        s, static_cast<int>(number(*sum.find("format"), "fraction_bits")), rounding_of(sum.find("rounding")->scalar)));
    EXPECT_EQ(code_of(output, i),
              std::clamp<std::int64_t>(o, -number(sum, "largest_code"), number(sum, "largest_code")));
  }
  std::filesystem::remove_all(folder);
}

TEST_F(Export, SaysWhatItCannotWrite) {
  EXPECT_THROW(run({"rpu_config.pre_post.fixed_point=null", "data.limit=16"}), InputError);
  EXPECT_THROW(run({"rpu_config.pre_post.fixed_point.scale.exact=true", "data.limit=16"}), ConfigError);
  EXPECT_THROW(run({"rpu_config.pre_post.fixed_point.output.rounding=stochastic", "data.limit=16"}), ConfigError);
}

}  // namespace
}  // namespace tessera::app
