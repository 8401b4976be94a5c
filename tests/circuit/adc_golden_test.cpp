// Question: do the converter circuits give the codes of the golden file, from the same mismatch?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "circuit/golden_file.hpp"
#include "tessera/circuit/adc_circuit.hpp"

namespace tessera::circuit {
namespace {

struct AdcCase {
  std::string variant;
  int bits;
  double half_range, gain;
  std::vector<double> x;  // in units of half the range, clipped
  std::vector<double> offsets;
  std::int64_t lines, offsets_per_line;

  explicit AdcCase(const h5::Group& group)
      : variant(group.attribute<std::string>("variant")),
        bits(static_cast<int>(group.attribute<std::int64_t>("bits"))),
        half_range(group.attribute<double>("vref")),
        gain(amplifier_gain(group.attribute<double>("gain_db"))),
        x(group.dataset("v").read<double>()),
        offsets(group.dataset("offset").read<double>()),
        lines(group.dataset("code").shape()[1]),
        offsets_per_line(static_cast<std::int64_t>(offsets.size()) / lines) {
    const double low = group.attribute<double>("vmin"), high = group.attribute<double>("vmax");
    for (double& v : x) v = std::clamp(v, low, high) / half_range;
    for (double& o : offsets) o /= half_range;
  }
};

std::vector<double> levels_of(const AdcCase& c, const h5::Group& group) {
  const auto z = group.dataset("z").read<double>();
  if (c.variant == "ramp_uns") return unsigned_levels(z, c.bits, c.gain, CdacGain::CROSSSIM);
  if (c.variant == "sar_split") return split_levels(z, c.bits, c.gain);
  EXPECT_TRUE(c.variant == "ramp_sym" || c.variant == "sar_flat") << c.variant;
  return signed_levels(z, c.bits, c.gain, CdacGain::CROSSSIM);
}

std::vector<Stage> stages_of(const h5::Group& group, std::int64_t line, std::int64_t count) {
  const auto C1 = group.dataset("C1").read<double>(), C2 = group.dataset("C2").read<double>(),
             Cpar = group.dataset("Cpar").read<double>();
  std::vector<Stage> stages;
  for (std::int64_t n = 0; n < count; ++n) {
    const auto at = static_cast<std::size_t>(line * count + n);
    stages.push_back({C1[at], C2[at], Cpar[at]});
  }
  return stages;
}

TEST(AdcGolden, EveryCodeAgrees) {
  const h5::File file = testing::golden_file();
  const h5::Group all = file.group("adc");
  int cases = 0;
  std::int64_t codes_checked = 0;
  for (const std::string& name : all.group_names()) {
    const h5::Group group = all.group(name);
    const AdcCase c(group);
    const auto expected = group.dataset("code").read<std::int16_t>();
    const auto decidable = group.dataset("decidable").read<std::uint8_t>();
    std::vector<double> levels;
    if (group.contains("levels")) {
      levels = levels_of(c, group);
      const auto stored = group.dataset("levels").read<double>();
      ASSERT_EQ(levels.size(), stored.size());
      for (std::size_t k = 0; k < stored.size(); ++k)
        EXPECT_NEAR(c.half_range * levels[k], stored[k], 1e-12 * c.half_range) << name << " level " << k;
    }
    const std::optional<RampTable> ramp = c.variant.starts_with("ramp")
                                              ? std::optional<RampTable>(std::in_place, levels, RampCode::CROSSSIM)
                                              : std::nullopt;
    int wrong = 0;
    for (std::int64_t j = 0; j < c.lines; ++j) {
      const std::span<const double> offsets(c.offsets.data() + j * c.offsets_per_line,
                                            static_cast<std::size_t>(c.offsets_per_line));
      const std::vector<Stage> stages = levels.empty() ? stages_of(group, j, c.bits - 1) : std::vector<Stage>{};
      for (std::size_t v = 0; v < c.x.size(); ++v) {
        const std::size_t at = v * static_cast<std::size_t>(c.lines) + static_cast<std::size_t>(j);
        if (decidable[at] == 0) continue;
        const std::int64_t code = ramp             ? ramp->code(c.x[v], offsets[0])
                                  : levels.empty() ? pipeline_code(stages, offsets, c.bits, c.gain, c.x[v])
                                                   : sar_code(levels, c.bits, c.x[v], offsets[0]);
        wrong += code != expected[at] ? 1 : 0;
        ++codes_checked;
      }
    }
    EXPECT_EQ(wrong, 0) << name;
    ++cases;
  }
  EXPECT_GE(cases, 1);
  EXPECT_GE(codes_checked, 1000);
}

}  // namespace
}  // namespace tessera::circuit
