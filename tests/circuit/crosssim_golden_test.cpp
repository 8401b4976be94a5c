// Question: do cores, DACs, slices and quantizing ADCs compute what CrossSim computes, where it is right?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "circuit/crosssim_case.hpp"
#include "circuit/golden_file.hpp"
#include "tessera/circuit/adc_range.hpp"
#include "tessera/circuit/analog_core.hpp"

namespace tessera::circuit {
namespace {

struct CoreCase {
  CrossbarParameters parameters;
  RealMatrix weights, x, y;
  std::vector<std::uint8_t> decidable;
  std::vector<AdcRange> ranges;  // as stored

  CoreCase(const h5::Group& all, const h5::Group& group)
      : parameters(
            testing::read_parameters(all.attribute<std::string>("defaults"), group.attribute<std::string>("params"))),
        weights(testing::read_matrix(group, "weight")),
        x(testing::read_matrix(group, "x")),
        y(testing::read_matrix(group, group.contains("y_intent") ? "y_intent" : "y")),
        decidable(group.dataset("decidable").read<std::uint8_t>()) {
    if (!group.contains("adc_range")) return;
    const auto values = group.dataset("adc_range").read<double>();
    for (std::size_t s = 0; s + 1 < values.size(); s += 2) ranges.push_back({values[s], values[s + 1]});
  }
  double scale() const { return std::max(testing::largest(y), 1e-12); }
};

/// What one more or one less code in every conversion of a product could change.
double one_code_everywhere(const CrossbarParameters& p, const RealMatrix& weights) {
  const double limit = weight_limits(p.core.weights, weights.view()).scale();
  const double x_scale = (p.core.inputs.max - p.core.inputs.min) / (p.dac.is_signed ? 2.0 : 1.0);
  const double gr = 1.0 - p.device.g0(), half = std::exp2(p.core.weight_bits - 1);
  double sum = 0.0;
  for (int s = 0; s < p.slices() && p.adc.converts(); ++s) {
    const AdcRange range = converter_range(p, weights.cols(), s);
    double factor = 2.0 / gr;
    if (p.core.style == CoreStyle::BITSLICED)
      factor = (std::exp2(p.slice_bits()) - 1.0) * std::exp2(p.slice_bits() * s) / (half - 1.0) / gr;
    sum += 4.0 * factor * (range.high - range.low) / (std::exp2(p.adc.bits) - 2.0);
  }
  if (p.dac.bits > 0) sum += static_cast<double>(weights.cols()) * 4.0 / std::exp2(p.dac.bits);
  return sum * limit * x_scale;
}

int wrong_outputs(const CoreCase& c, const RealMatrix& y, double tolerance, double where_undecidable) {
  int wrong = 0;
  for (std::size_t e = 0; e < y.values().size(); ++e) {
    const double difference = std::abs(y.values()[e] - c.y.values()[e]);
    wrong += difference > (c.decidable[e] != 0 ? tolerance * c.scale() : where_undecidable) ? 1 : 0;
  }
  return wrong;
}

TEST(CrosssimGolden, EveryCaseAgrees) {
  const h5::File file = testing::golden_file();
  const h5::Group all = file.group("crosssim");
  int cases = 0, converted = 0;
  for (const std::string& name : all.group_names()) {
    const h5::Group group = all.group(name);
    CoreCase c(all, group);
    const double loose = one_code_everywhere(c.parameters, c.weights) + 1e-6 * c.scale();
    const AnalogCore core(c.parameters, c.weights.view());
    EXPECT_EQ(wrong_outputs(c, core.multiply(c.x.view()), 3e-7, loose), 0) << name;
    if (group.contains("stored_weight")) {
      const RealMatrix stored = testing::read_matrix(group, "stored_weight");
      EXPECT_LT(testing::relative_difference(core.stored_weights(), stored), 3e-7) << name;
    }
    if (!c.ranges.empty()) {
      for (std::size_t s = 0; s < c.ranges.size(); ++s) {
        if (core.tiles() > 1) break;  // the ranges stored are those of one tile
        const AdcRange range = converter_range(c.parameters, c.weights.cols(), static_cast<int>(s));
        EXPECT_NEAR(range.low, c.ranges[s].low, 1e-12 * std::abs(c.ranges[s].high)) << name;
        EXPECT_NEAR(range.high, c.ranges[s].high, 1e-12 * std::abs(c.ranges[s].high)) << name;
      }
      ++converted;
    }
    ++cases;
  }
  EXPECT_GE(cases, 1);
  EXPECT_GE(converted, 1);
}

// The precision of networks. float32 sums move a converter's input by a few parts in 1e7 of its range, which changes a
// code as often as a boundary lies within that; so the number of differing outputs is bounded by the number of
// conversions, and none differs by more than codes do.
TEST(CrosssimGolden, SinglePrecisionDiffersByRareCodes) {
  const h5::File file = testing::golden_file();
  const h5::Group all = file.group("crosssim");
  double allowed = 0.0;
  std::int64_t different = 0;
  for (const std::string& name : all.group_names()) {
    const CoreCase c(all, all.group(name));
    const AnalogCore core(c.parameters, c.weights.view(), {}, Precision::single);
    const Matrix x = rounded(c.x.view());
    Matrix y(c.x.rows(), c.weights.rows());
    core.multiply(x.view(), y.view());
    RealMatrix exact(y.rows(), y.cols());
    std::copy(y.values().begin(), y.values().end(), exact.values().begin());
    const double loose = one_code_everywhere(c.parameters, c.weights) + 1e-5 * c.scale();
    for (std::size_t e = 0; e < c.decidable.size(); ++e) {
      const double difference = std::abs(exact.values()[e] - c.y.values()[e]);
      EXPECT_LE(difference, loose) << name;
      if (c.decidable[e] != 0) different += difference > 1e-5 * c.scale() ? 1 : 0;
    }
    TileCounts counts;
    core.multiply(x.view(), y.view(), {}, &counts);
    constexpr double moved = 1e-6;  // of the range, to either side of a boundary: sums of some twenty roundings
    for (const ConversionCounts& slice : counts.slices)
      allowed += static_cast<double>(slice.conversions) * 2.0 * moved * std::exp2(c.parameters.adc.bits);
  }
  EXPECT_LT(static_cast<double>(different), allowed);
}

}  // namespace
}  // namespace tessera::circuit
