// Question: do cores hold what is promised beyond the peer: wires in bit slices, gates, mismatch, noise, levels?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "circuit/golden_file.hpp"
#include "tessera/circuit/adc_range.hpp"
#include "tessera/circuit/analog_core.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::circuit {
namespace {

using testing::largest;
using testing::relative_difference;

RealMatrix uniforms(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  RealMatrix m(rows, cols);
  const random::Stream stream({.seed = 23}, random::Purpose::test);
  for (std::size_t c = 0; c < m.values().size(); ++c)
    m.values()[c] = 2.0 * static_cast<double>(random::uniform(stream, event, c)) - 1.0;
  return m;
}

CrossbarParameters sliced() {
  CrossbarParameters p;
  p.core.style = CoreStyle::BITSLICED;
  p.core.weight_bits = 8;
  p.core.bit_sliced.num_slices = 4;
  p.device.Rmin = 1e4;
  p.device.Rmax = 1e6;
  p.dac = {.model = DacModel::SignMagnitudeDAC, .bits = 8, .input_bitslicing = true, .slice_size = 1};
  p.adc.adc_per_ibit = true;
  return p;
}

/// Every architecture without converters, wires and errors.
std::vector<CrossbarParameters> architectures() {
  std::vector<CrossbarParameters> all;
  for (const CoreStyle style : {CoreStyle::BALANCED, CoreStyle::BITSLICED, CoreStyle::OFFSET})
    for (const BitSlicedStyle sliced_style : {BitSlicedStyle::BALANCED, BitSlicedStyle::OFFSET})
      for (const OffsetStyle offset : {OffsetStyle::DIGITAL_OFFSET, OffsetStyle::UNIT_COLUMN_SUBTRACTION})
        for (const bool subtract : {true, false}) {
          CrossbarParameters p;
          p.core.style = style;
          p.core.weight_bits = style == CoreStyle::BITSLICED ? 16 : 0;
          p.core.bit_sliced = {.style = sliced_style, .num_slices = 3};  // 16 is no multiple of 3
          p.core.offset.style = offset;
          p.core.balanced.subtract_current_in_xbar = subtract;
          all.push_back(p);
        }
  return all;
}

TEST(AnalogCore, IdealIsTheProduct) {
  const RealMatrix w = uniforms(9, 20, 1), x = uniforms(5, 20, 2);
  const RealMatrix expected = multiply_rows(x.view(), w.view());
  for (const CrossbarParameters& p : architectures())
    EXPECT_LT(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), expected), 2e-4);
}

TEST(AnalogCore, TilesAddUp) {
  const RealMatrix w = uniforms(22, 23, 3), x = uniforms(4, 23, 4);
  CrossbarParameters p;
  p.core.rows_max = 5;
  p.core.cols_max = 7;
  const AnalogCore core(p, w.view());
  EXPECT_EQ(core.tiles(), 20U);
  EXPECT_LT(relative_difference(core.multiply(x.view()), multiply_rows(x.view(), w.view())), 1e-12);
  for (const auto& [begin, end] : partition(22, output_partition(p))) EXPECT_LE(end - begin, 7);
}

// The lossless step: bit-serial inputs and integer cells make integer currents, which the converter keeps.
TEST(AnalogCore, GranularConversionIsLossless) {
  const RealMatrix w = uniforms(6, 12, 5), x = uniforms(8, 12, 6);
  for (const BitSlicedStyle style : {BitSlicedStyle::BALANCED, BitSlicedStyle::OFFSET})
    for (const bool subtract : {true, false}) {
      CrossbarParameters p = sliced();
      p.core.bit_sliced.style = style;
      p.core.balanced.subtract_current_in_xbar = subtract;
      const RealMatrix exact = AnalogCore(p, w.view()).multiply(x.view());
      p.adc = {.model = AdcModel::SignMagnitudeADC,
               .bits = 8,
               .adc_per_ibit = true,
               .adc_range_option = AdcRangeOption::GRANULAR};
      EXPECT_LT(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), exact), 1e-12);
      p.adc.bits = 3;  // a control: too few
      EXPECT_GT(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), exact), 1e-3);
      p.adc.bits = 8;
      p.device.infinite_on_off_ratio = true;         // nothing lies between the steps
      p.adc.adc_range_option = AdcRangeOption::MAX;  // levels on multiples of the step, enough of them here
      EXPECT_LT(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), exact), 1e-12);
    }
}

TEST(AnalogCore, WiresActInEverySlice) {
  const RealMatrix w = uniforms(16, 24, 7), x = uniforms(3, 24, 8);
  CrossbarParameters p = sliced();
  const RealMatrix ideal = AnalogCore(p, w.view()).multiply(x.view());
  double last = 0.0;
  for (const double ohm : {1.0, 10.0, 100.0}) {
    p.array.parasitics = {.enable = true, .Rp_row = ohm, .Rp_col = ohm};
    const double lost = relative_difference(AnalogCore(p, w.view()).multiply(x.view()), ideal);
    EXPECT_GT(lost, 2.0 * last);
    last = lost;
  }
  p.array.parasitics.disable_slices = {0, 1, 2, 3};
  EXPECT_EQ(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), ideal), 0.0);
}

TEST(AnalogCore, AllSolversAgree) {
  const RealMatrix w = uniforms(12, 15, 9), x = uniforms(2, 15, 10);
  CrossbarParameters p;
  p.device.Rmin = 1e4;
  p.device.Rmax = 1e6;
  p.array.parasitics = {.enable = true, .Rp_row = 2.0, .Rp_col = 3.0, .Rp_row_terminal = 10.0};
  for (const bool interleaved : {false, true}) {
    p.core.balanced.interleaved_posneg = interleaved;
    p.simulation.solver = Solver::EXACT;
    const RealMatrix exact = AnalogCore(p, w.view()).multiply(x.view());
    p.simulation.solver = Solver::CG;
    EXPECT_LT(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), exact), 1e-11);
    p.simulation.solver = Solver::FIXED_POINT;
    p.simulation.Verr_th_mvm = 1e-12;
    EXPECT_LT(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), exact), 1e-9);
  }
}

TEST(AnalogCore, GatedArraysTakeSignedInputsInTwoPasses) {
  const RealMatrix w = uniforms(10, 14, 11), x = uniforms(4, 14, 12);
  CrossbarParameters p = sliced();
  const RealMatrix ideal = AnalogCore(p, w.view()).multiply(x.view());
  p.array.parasitics = {.enable = true, .Rp_row = 1e-6, .Rp_col = 1e-6, .current_from_input = false};
  for (const GatedSigned way : {GatedSigned::TWO_PASS, GatedSigned::CROSSSIM}) {
    p.compat.gated_signed = way;
    EXPECT_LT(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), ideal), 1e-7);
  }
  p.array.parasitics.Rp_row = p.array.parasitics.Rp_col = 5.0;
  EXPECT_GT(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), ideal), 1e-3);
}

TEST(AnalogCore, NonlinearCellsAreThoseOfTheCircuitInTheLimit) {
  const RealMatrix w = uniforms(6, 8, 13), x = uniforms(3, 8, 14);
  CrossbarParameters p;
  p.device.Rmin = 1e4;
  p.device.Rmax = 1e6;
  p.device.Vread = 1.0;
  p.device.nonlinear_IV = {true, CellLawModel::CubicDevice};
  for (const bool interleaved : {false, true}) {
    p.core.balanced.interleaved_posneg = interleaved;
    p.array.parasitics = {};
    const RealMatrix powers = AnalogCore(p, w.view()).multiply(x.view());
    p.array.parasitics = {.enable = true, .Rp_row = 1e-4, .Rp_col = 1e-4};
    EXPECT_LT(relative_difference(AnalogCore(p, w.view()).multiply(x.view()), powers), 1e-5);
  }
}

// 4000 reads; the deviation within 5 standard errors of its own (one false alarm in a million).
TEST(AnalogCore, ReadNoiseHasTheDeviationOfTheCells) {
  const RealMatrix w = uniforms(2, 30, 15), one = uniforms(1, 30, 16);
  constexpr std::int64_t reads = 4000;
  RealMatrix x(reads, 30);
  for (std::int64_t r = 0; r < reads; ++r) std::copy_n(one.view().row(0), 30, x.view().row(r));
  CrossbarParameters p;
  p.device.infinite_on_off_ratio = true;
  p.device.read_noise = {true, ErrorModel::NormalIndependentDevice, 0.02};
  const double limit = weight_limits(p.core.weights, w.view()).scale();
  double squares = 0.0;
  for (const double v : one.values()) squares += v * v;
  const double expected = limit * 0.02 * std::sqrt(2.0 * squares);  // both cells of a pair
  const AnalogCore core(p, w.view());
  const RealMatrix y = core.multiply(x.view());
  double mean = 0.0, square = 0.0;
  for (std::int64_t r = 0; r < reads; ++r) mean += y(r, 0) / reads;
  for (std::int64_t r = 0; r < reads; ++r) square += std::pow(y(r, 0) - mean, 2) / reads;
  const double error = expected / std::sqrt(2.0 * reads);
  EXPECT_NEAR(std::sqrt(square), expected, 5.0 * error);
  EXPECT_GT(std::abs(std::sqrt(square) - expected / std::sqrt(2.0)), 5.0 * error);  // a control: one cell only
  // The same draws whether vectors come together or one by one.
  const RealMatrix later = core.multiply(x.view().rows_from(100, 3), {.first_vector = 100});
  for (std::int64_t r = 0; r < 3; ++r) EXPECT_EQ(later(r, 1), y(100 + r, 1));
}

TEST(AnalogCore, MismatchBelongsToTheChipAndTheGroup) {
  const RealMatrix w = uniforms(16, 10, 17), x = uniforms(6, 10, 18);
  CrossbarParameters p;
  p.adc = {.model = AdcModel::SarADC,
           .bits = 6,
           .adc_range_option = AdcRangeOption::MAX,
           .sigma_capacitor = 0.05,
           .group_size = 8};
  const RealMatrix first = AnalogCore(p, w.view(), {.seed = 1}).multiply(x.view());
  EXPECT_EQ(relative_difference(AnalogCore(p, w.view(), {.seed = 1}).multiply(x.view()), first), 0.0);
  EXPECT_GT(relative_difference(AnalogCore(p, w.view(), {.seed = 2}).multiply(x.view()), first), 0.0);
}

TEST(AnalogCore, EveryConverterIsCloseToTheIdealOneWithoutMismatch) {
  const RealMatrix w = uniforms(8, 12, 19), x = uniforms(10, 12, 20);
  CrossbarParameters p;
  const RealMatrix ideal = AnalogCore(p, w.view()).multiply(x.view());
  const double limit = weight_limits(p.core.weights, w.view()).scale();
  for (const AdcModel model : {AdcModel::QuantizerADC, AdcModel::SignMagnitudeADC, AdcModel::RampADC, AdcModel::SarADC,
                               AdcModel::PipelineADC, AdcModel::CyclicADC})
    for (const bool variant : {false, true}) {
      p.adc = {.model = model, .bits = 8, .gain_db = 200.0, .symmetric_cdac = variant, .split_cdac = variant};
      p.adc.calibrated_range = {{-8.0, 8.0}};
      const RealMatrix y = AnalogCore(p, w.view()).multiply(x.view());
      const double step = 16.0 / 254.0 * limit / 0.9;  // of the output: gr = 0.9
      for (std::size_t e = 0; e < y.values().size(); ++e)
        EXPECT_NEAR(y.values()[e], ideal.values()[e], 0.51 * step) << static_cast<int>(model) << variant;
    }
}

TEST(Converters, CircuitsSpanTheRangeTheyAreGiven) {
  for (const AdcModel model : {AdcModel::RampADC, AdcModel::SarADC, AdcModel::PipelineADC}) {
    AdcParameters adc{.model = model, .bits = 4, .gain_db = 200.0};
    const Converters converters(adc, {}, {0.0, 1.0}, 1, {}, 0);
    std::vector<double> values;
    for (int k = 0; k < 1000; ++k) {
      RealMatrix v(1, 1);
      v(0, 0) = k / 999.0;
      converters.convert(v.view(), {}, nullptr);
      values.push_back(v(0, 0));
    }
    values.erase(std::unique(values.begin(), values.end()), values.end());
    EXPECT_EQ(values.size(), 16U) << static_cast<int>(model);
  }
}

TEST(Converters, LloydMaxFindsTheOptimumOfTheNormalDistribution) {
  std::vector<float> draws(200000);
  random::fill_normal(random::Stream({.seed = 29}, random::Purpose::test), 0, 0, draws);
  const std::vector<double> samples(draws.begin(), draws.end());
  const std::vector<double> levels = lloyd_max_levels(samples, 4);
  ASSERT_EQ(levels.size(), 4U);
  // Max, IRE Trans. Inf. Theory 6, 7 (1960), Table I: +-0.4528, +-1.510; mean squared error 0.1175.
  const double expected[] = {-1.510, -0.4528, 0.4528, 1.510};
  for (std::size_t c = 0; c < 4; ++c) EXPECT_NEAR(levels[c], expected[c], 0.02);
  AdcParameters adc{.model = AdcModel::QuantizerADC, .bits = 2};
  adc.levels = levels;
  const Converters converters(adc, {}, {0.0, 1.0}, 1, {}, 0);
  double error = 0.0;
  for (const double s : samples) {
    RealMatrix v(1, 1);
    v(0, 0) = s;
    converters.convert(v.view(), {}, nullptr);
    error += (v(0, 0) - s) * (v(0, 0) - s) / static_cast<double>(samples.size());
  }
  EXPECT_NEAR(error, 0.1175, 0.002);
}

TEST(Converters, NonlinearityMovesThresholds) {
  AdcParameters adc{.model = AdcModel::QuantizerADC, .bits = 2};
  adc.inl = {0.0, 0.0, 0.4, 0.0};
  const Converters converters(adc, {}, {0.0, 3.0}, 1, {}, 0);
  for (const auto& [in, out] :
       {std::pair{1.45, 1.0}, std::pair{1.85, 1.0}, std::pair{1.95, 2.0}, std::pair{9.0, 3.0}}) {
    RealMatrix v(1, 1);
    v(0, 0) = in;
    converters.convert(v.view(), {}, nullptr);
    EXPECT_EQ(v(0, 0), out);
  }
}

TEST(Converters, StochasticRoundingIsRightOnAverage) {
  AdcParameters adc{.model = AdcModel::QuantizerADC, .bits = 2, .stochastic_rounding = true};
  const Converters converters(adc, {}, {0.0, 3.0}, 1, {}, 0);
  constexpr std::int64_t n = 20000;
  RealMatrix v(n, 1);
  std::fill(v.values().begin(), v.values().end(), 1.3);
  ConversionCounts counts;
  converters.convert(v.view(), {.stream = random::Stream({.seed = 4}, random::Purpose::test), .event = 1}, &counts);
  double mean = 0.0;
  for (const double y : v.values()) mean += y / n;
  EXPECT_NEAR(mean, 1.3, 5.0 * std::sqrt(0.3 * 0.7 / n));
  EXPECT_EQ(counts.conversions, n);
  EXPECT_EQ(counts.codes.at(0) + counts.codes.at(3), 0);
  EXPECT_EQ(counts.codes[1] + counts.codes[2], n);
}

TEST(AnalogCore, RefusesWhatItCannotDo) {
  const RealMatrix w = uniforms(3, 4, 21);
  CrossbarParameters p;
  p.adc = {.model = AdcModel::QuantizerADC, .bits = 8};
  EXPECT_THROW(AnalogCore(p, w.view()), ConfigError);  // no calibrated range
  RealMatrix nan = w;
  nan(0, 0) = std::nan("");
  EXPECT_THROW(AnalogCore({}, nan.view()), InputError);
  EXPECT_THROW(AnalogCore({}, w.view()).multiply(uniforms(2, 5, 1).view()), InputError);
  const RealMatrix zero(3, 4);
  EXPECT_EQ(largest(AnalogCore({}, zero.view()).multiply(uniforms(2, 4, 1).view())), 0.0);
}

}  // namespace
}  // namespace tessera::circuit
