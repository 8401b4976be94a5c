// Question: do ranges and levels of converters follow from the currents that they see?
#include <gtest/gtest.h>

#include <cmath>

#include "tessera/circuit/core_tile.hpp"
#include "tessera/circuit/ladder.hpp"

namespace tessera::circuit {
namespace {

RealMatrix uniform_matrix(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  RealMatrix m(rows, cols);
  const random::Stream stream({.seed = 7}, random::Purpose::test);
  for (std::size_t c = 0; c < m.values().size(); ++c)
    m.values()[c] = 2.0 * static_cast<double>(random::uniform(stream, event, c)) - 1.0;
  return m;
}

/// A histogram of normal currents with a few far away.
CurrentHistogram normal_currents() {
  CurrentHistogram h{-12.0, 12.0, std::vector<std::int64_t>(8192, 0)};
  for (std::size_t b = 0; b < h.bins.size(); ++b) {
    const double x = h.low + (static_cast<double>(b) + 0.5) * 24.0 / 8192.0;
    h.bins[b] = std::llround(1e9 * std::exp(-0.5 * x * x) * 24.0 / 8192.0 / std::sqrt(2.0 * M_PI));
  }
  h.bins.front() += 1;
  h.bins.back() += 1;
  return h;
}

TEST(ConverterCalibration, RangesOfNormalCurrents) {
  const CurrentHistogram h = normal_currents();
  AdcParameters adc{.model = AdcModel::QuantizerADC, .bits = 4};
  EXPECT_EQ(found_range(adc, h, ConverterRangeType::MAX, 1.0), (AdcRange{-12.0, 12.0}));
  // The quantile 0.99865 of a normal is 3.
  const AdcRange q = found_range(adc, h, ConverterRangeType::QUANTILE, 0.9986501);
  EXPECT_NEAR(q.high, 3.0, 0.01);
  EXPECT_NEAR(q.low, -3.0, 0.01);
  // The best even 16-level quantizer of a normal has the step 0.3352 (Max 1960, table II): ends at +-2.514.
  const AdcRange best = found_range(adc, h, ConverterRangeType::MSE, 1.0);
  EXPECT_NEAR(best.high, 2.514, 0.2);
  EXPECT_NEAR(best.low, -2.514, 0.2);
  adc.bits = 8;
  EXPECT_GT(found_range(adc, h, ConverterRangeType::MSE, 1.0).high, 3.4);  // more bits, wider
  adc.is_signed = false;
  EXPECT_EQ(found_range(adc, h, ConverterRangeType::MAX, 1.0), (AdcRange{0.0, 12.0}));
  adc = {.model = AdcModel::SignMagnitudeADC, .bits = 4};
  const AdcRange symmetric = found_range(adc, {-1.0, 2.0, {1, 1, 1}}, ConverterRangeType::MAX, 1.0);
  EXPECT_EQ(symmetric, (AdcRange{-2.0, 2.0}));
}

// Currents of lines whose inputs are mostly zero: what is seen most lies at the end of the range, not beyond it.
TEST(ConverterCalibration, FrequentExtremesAreWithinTheRange) {
  const AdcParameters adc{.model = AdcModel::QuantizerADC, .bits = 8};
  for (const double low : {0.0, -0.1, 1.0 / 3.0}) {
    CurrentHistogram h{low, low + 1.7, std::vector<std::int64_t>(8192, 1)};
    EXPECT_GT(found_range(adc, h, ConverterRangeType::QUANTILE, 0.999).low, low);  // not so what is rare
    h.bins.front() = 1'000'000;
    EXPECT_EQ(found_range(adc, h, ConverterRangeType::QUANTILE, 0.9999).low, low);
    h.bins.front() = 1;
    h.bins.back() = 1'000'000;
    EXPECT_EQ(found_range(adc, h, ConverterRangeType::QUANTILE, 0.9999).high, low + 1.7);
  }
}

// Max, IRE Trans. Inf. Theory 6, 7 (1960), table I: optimal levels of a unit normal for 4 levels are 0.4528 and 1.510.
TEST(ConverterCalibration, LloydMaxLevelsOfANormal) {
  const std::vector<double> levels = lloyd_max_levels(normal_currents(), 4);
  ASSERT_EQ(levels.size(), 4U);
  EXPECT_NEAR(levels[2], 0.4528, 3e-3);  // a bin is 0.003 wide
  EXPECT_NEAR(levels[3], 1.5104, 3e-3);
  EXPECT_NEAR(levels[0], -levels[3], 1e-6);
}

TEST(ConverterCalibration, CountsAddUpInAnyOrder) {
  ConversionCounts a, b, whole;
  for (ConversionCounts* c : {&a, &b, &whole})
    c->histogram = CurrentHistogram{-1.0, 1.0, std::vector<std::int64_t>(16, 0)};
  const RealMatrix m = uniform_matrix(9, 5, 1);
  whole.observe(m.view());
  a.observe(m.view().rows_from(0, 4));
  b.observe(m.view().rows_from(4, 5));
  ConversionCounts ab = a.blank(), ba = a.blank();
  ab.add(a);
  ab.add(b);
  ba.add(b);
  ba.add(a);
  EXPECT_EQ(ab, whole);
  EXPECT_EQ(ba, whole);
}

CrossbarParameters waiting_tile(AdcLevels levels = {}) {
  CrossbarParameters p;
  p.device.infinite_on_off_ratio = true;
  p.adc = {.model = AdcModel::QuantizerADC, .bits = 4};
  p.adc.levels = std::move(levels);
  return p;
}

TEST(ConverterCalibration, ATileWithoutRangesSaysSo) {
  const RealMatrix w = uniform_matrix(6, 11, 2), x = uniform_matrix(40, 11, 3);
  const CrossbarParameters p = waiting_tile();
  const CellState state = program_cells(p, w.view(), {});
  const CoreTile open(p, state, {}, {}, Precision::real);
  EXPECT_FALSE(open.calibrated());
  RealMatrix y(40, 6);
  EXPECT_THROW(open.multiply(x.view(), y.view(), {}), ConfigError);
  const ConverterSetting setting{{-3.0, 3.0}, {}};
  const CoreTile closed = open.with_converters({&setting, 1});
  ASSERT_TRUE(closed.calibrated());
  closed.multiply(x.view(), y.view(), {});

  CrossbarParameters given = p;
  given.adc.calibrated_range = {{-3.0, 3.0}};
  RealMatrix expected(40, 6);
  CoreTile(given, state, {}, {}, Precision::real).multiply(x.view(), expected.view(), {});
  EXPECT_TRUE(std::equal(y.values().begin(), y.values().end(), expected.values().begin()));
  const ConverterSetting other{{-9.0, 9.0}, {}};
  // A given range stays.
  CoreTile(given, state, {}, {}, Precision::real).with_converters({&other, 1}).multiply(x.view(), y.view(), {});
  EXPECT_TRUE(std::equal(y.values().begin(), y.values().end(), expected.values().begin()));
  const std::vector<ConverterSetting> two(2, setting);
  EXPECT_THROW(open.with_converters(two), InputError);
}

// Optimal levels lose less than even ones of the same number, and both are counted.
TEST(ConverterCalibration, OptimalLevelsLoseLess) {
  const RealMatrix w = uniform_matrix(6, 60, 4), x = uniform_matrix(400, 60, 5);
  CrossbarParameters ideal = waiting_tile();
  ideal.adc = {};
  const CellState state = program_cells(ideal, w.view(), {});
  RealMatrix exact(400, 6);
  TileCounts seen;
  const CoreTile bare(ideal, state, {}, {}, Precision::real);
  bare.multiply(x.view(), exact.view(), {}, &seen);
  ASSERT_EQ(seen.slices.size(), 1U);
  EXPECT_EQ(seen.slices[0].conversions, 0);
  seen.slices[0].histogram =
      CurrentHistogram{seen.slices[0].lowest, seen.slices[0].highest, std::vector<std::int64_t>(4096, 0)};
  bare.multiply(x.view(), exact.view(), {}, &seen);
  const auto error = [&](const AdcLevels& levels) {
    const CrossbarParameters p = waiting_tile(levels);
    const CoreTile open(p, state, {}, {}, Precision::real);
    const ConverterSetting setting{found_range(p.adc, *seen.slices[0].histogram, ConverterRangeType::MAX, 1.0),
                                   lloyd_max_levels(*seen.slices[0].histogram, 16)};
    RealMatrix y(400, 6);
    TileCounts counts;
    open.with_converters({&setting, 1}).multiply(x.view(), y.view(), {}, &counts);
    EXPECT_EQ(counts.slices[0].conversions, 2400);
    std::int64_t sum = 0;
    for (const std::int64_t n : counts.slices[0].codes) sum += n;
    EXPECT_EQ(sum, 2400);
    EXPECT_GT(counts.slices[0].codes_used(), 0.7);
    double squares = 0.0;
    for (std::size_t c = 0; c < y.values().size(); ++c) squares += std::pow(y.values()[c] - exact.values()[c], 2);
    return squares;
  };
  const double even = error({}), optimal = error(OptimalLevels{});
  EXPECT_LT(optimal, 0.7 * even);
}

TEST(WireLoss, IsWhatTheMatrixLoses) {
  const RealMatrix w = uniform_matrix(8, 12, 6);
  for (const bool interleaved : {false, true}) {
    CrossbarParameters p;
    p.core.balanced.interleaved_posneg = interleaved;
    p.array.parasitics = {.enable = true, .Rp_row = 5.0, .Rp_col = 5.0};
    const CellState state = program_cells(p, w.view(), {});
    const RealMatrix stored = stored_weights(p, state);
    for (std::size_t c = 0; c < w.values().size(); ++c) EXPECT_NEAR(stored.values()[c], w.values()[c], 1e-12);
    const WireLoss loss = wire_loss(p, state, {});
    EXPECT_GT(loss.error, 0.0);
    EXPECT_LT(loss.error, 0.5 * loss.signal);
    // Further from driver and sense node more is lost.
    EXPECT_GT(loss.lost(7, 0) / loss.carried(7, 0), 2.0 * loss.lost(0, 11) / loss.carried(0, 11)) << interleaved;
    p.array.parasitics.Rp_row = p.array.parasitics.Rp_col = 0.0;
    EXPECT_EQ(wire_loss(p, state, {}).error, 0.0);
  }
}

TEST(WireLoss, OfGatedArraysIsWhatAllOpenGatesLose) {
  const RealMatrix w = uniform_matrix(8, 12, 5);
  for (const bool interleaved : {false, true}) {
    CrossbarParameters p;
    p.core.balanced.interleaved_posneg = interleaved;
    p.dac = {.model = DacModel::SignMagnitudeDAC, .bits = 4, .input_bitslicing = true};
    p.array.parasitics = {.enable = true, .Rp_row = 5.0, .Rp_col = 5.0, .current_from_input = false};
    const CellState state = program_cells(p, w.view(), {});
    const WireLoss loss = wire_loss(p, state, {});
    EXPECT_GT(loss.error, 0.0);
    EXPECT_LT(loss.error, 0.5 * loss.signal);
    // The currents of the cells of a line add up to what the ladder senses.
    const SliceCells& slice = state.slices.front();
    RealMatrix gates(1, 12);
    std::fill(gates.values().begin(), gates.values().end(), 1.0);
    const Wires wires = normalised_wires(p, 12);
    if (!interleaved) {  // a pair's output node may be pulled either way, so that single cells gain
      EXPECT_TRUE(std::ranges::all_of(loss.lost.values(), [](double v) { return v > 0.0; }));
      const RealMatrix plus = GatedArray({slice.positive.view()}, wires).currents(gates.view());
      const RealMatrix minus = GatedArray({slice.negative.view()}, wires).currents(gates.view());
      for (std::int64_t j = 0; j < 8; ++j) {
        double carried = 0.0;
        for (std::int64_t i = 0; i < 12; ++i) carried += loss.carried(j, i) - loss.lost(j, i);
        EXPECT_NEAR(carried, plus(0, j) + minus(0, j), 1e-10);
      }
    }
    p.array.parasitics.Rp_row = p.array.parasitics.Rp_col = 0.0;
    EXPECT_EQ(wire_loss(p, state, {}).error, 0.0);
  }
}

TEST(WireLoss, CellsAreStackedAndUnstacked) {
  const RealMatrix w = uniform_matrix(3, 5, 7);
  CrossbarParameters p;
  p.core.style = CoreStyle::BITSLICED;
  p.core.weight_bits = 6;
  const CellState state = target_cells(p, w.view());
  const RealMatrix cells = stacked(state);
  EXPECT_EQ(cells.rows(), 3 * p.cells_per_weight());
  const CellState back = unstacked(cells.view(), state);
  for (std::size_t s = 0; s < state.slices.size(); ++s) {
    EXPECT_TRUE(std::ranges::equal(back.slices[s].positive.values(), state.slices[s].positive.values()));
    EXPECT_TRUE(std::ranges::equal(back.slices[s].negative.values(), state.slices[s].negative.values()));
  }
  EXPECT_THROW(unstacked(cells.view().rows_from(0, 4), state), InputError);
}

}  // namespace
}  // namespace tessera::circuit
