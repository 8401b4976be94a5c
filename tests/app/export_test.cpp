// Do the exported files hold everything that reproduces the outputs?
#include "tessera/app/export.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/source_dir.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/config/document.hpp"
#include "tessera/core/error.hpp"
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

TEST_F(Export, SaysWhatItCannotWrite) {
  EXPECT_THROW(run({"rpu_config.pre_post.fixed_point=null", "data.limit=16"}), InputError);
  EXPECT_THROW(run({"rpu_config.pre_post.fixed_point.scale.exact=true", "data.limit=16"}), ConfigError);
  EXPECT_THROW(run({"rpu_config.pre_post.fixed_point.output.rounding=stochastic", "data.limit=16"}), ConfigError);
}

}  // namespace
}  // namespace tessera::app
