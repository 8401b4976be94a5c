// Do the converters equal their scalar definition, bit for bit, on every instruction set, width, tail and combination?
#include "tessera/kernels/converter.hpp"

#include <gtest/gtest.h>

#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "tessera/kernels/reference.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::kernels {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

template <class Body>
void for_each_target(Body&& body) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
}

Matrix normals(std::int64_t rows, std::int64_t cols, std::uint32_t event, float scale) {
  Matrix m(rows, cols);
  random::fill_normal(random::Stream({.seed = 3}, random::Purpose::test), event, 0, m.values());
  for (float& v : m.values()) v *= scale;
  return m;
}

Matrix uniforms(std::int64_t rows, std::int64_t cols) {
  Matrix m(rows, cols);
  random::fill_uniform(random::Stream({.seed = 4}, random::Purpose::test), 0, 0, m.values());
  return m;
}

float reference_dac(const DacBlock& b, std::int64_t r, std::int64_t c) {
  const std::int64_t draw = r * b.x.cols + c;
  float t = b.x(r, c);
  if (b.range > 0.0F) t = (std::min(std::max(t, -b.range), b.range) + 0.0F) / b.range;
  if (b.scale != nullptr) t = t * b.scale[r];
  t = b.dither == nullptr ? reference::quantize(t, b.converter.step)
                          : reference::quantize_stochastic(t, b.converter.step, b.dither[draw]);
  t = std::min(std::max(t, -b.converter.bound), b.converter.bound);
  if (b.noise != nullptr) t = t + b.noise_std * b.noise[draw];
  if (t < 0.0F && b.negative_factor != 1.0F) t = t * b.negative_factor;
  return t;
}

float reference_adc(const AdcBlock& b, std::int64_t r, std::int64_t c) {
  const std::int64_t draw = r * b.v.cols + c;
  float t = b.v(r, c);
  if (b.noise != nullptr) {
    float std = b.noise_stds == nullptr ? b.noise_std : b.noise_stds[c];
    if (b.variance != nullptr) std = std::sqrt(std * std + b.variance_factor * b.variance[draw]);
    t = t + std * b.noise[draw];
  }
  t = b.dither == nullptr ? reference::quantize(t, b.converter.step)
                          : reference::quantize_stochastic(t, b.converter.step, b.dither[draw]);
  t = std::min(std::max(t, -b.converter.bound), b.converter.bound);
  if (b.row_scale != nullptr) t = t * b.row_scale[r];
  if (b.column_scale != nullptr) t = t * b.column_scale[c];
  if (b.bias != nullptr) t = t + b.bias[c];
  return t;
}

::testing::AssertionResult same_bits(float a, float b) {
  if (std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << a << " and " << b;
}

TEST(MakeConverter, ReadsBothNotationsOfResolution) {
  EXPECT_EQ(make_converter(1.0, 254.0).step, make_converter(1.0, 1.0 / 254.0).step);
  EXPECT_EQ(make_converter(1.0, 1.0 / 126.0).step, 2.0F * static_cast<float>(1.0 / 126.0));
  EXPECT_EQ(make_converter(12.0, 1.0).step, 24.0F);  // 1 stays 1
  EXPECT_EQ(make_converter(12.0, -1.0).step, 0.0F);
  EXPECT_EQ(make_converter(12.0, -1.0).bound, 12.0F);
  EXPECT_EQ(make_converter(0.0, 254.0).step, 0.0F);  // no bound, no range to divide into steps
  EXPECT_EQ(make_converter(-1.0, 254.0).bound, infinity);
}

// The largest code must not lie above the bound, or a value at the bound counts as clipped; it lies below it by at most
// one unit in the last place.
TEST(MakeConverter, TopCodeIsTheBoundForAllUsualBoundsAndResolutions) {
  std::vector<double> bounds = {0.25, 0.5,  1.0,  1.5,   2.0,   2.5,   5.0,   12.0,
                                20.0, 25.0, 64.0, 100.0, 127.0, 511.0, 1000.0};
  for (int tenth = 1; tenth <= 400; ++tenth) bounds.push_back(0.1 * tenth);
  std::int64_t equal = 0;
  std::int64_t tried = 0;
  for (const double bound : bounds) {
    for (int bits = 2; bits <= 16; ++bits) {
      const double count = std::ldexp(1.0, bits) - 2.0;
      const auto codes = static_cast<float>(count / 2.0);
      for (const double resolution : {count, 1.0 / count, static_cast<double>(static_cast<float>(1.0 / count))}) {
        const Converter c = make_converter(bound, resolution);
        ASSERT_LE(codes * c.step, c.bound) << bound << " " << resolution;
        ASSERT_GE(codes * c.step, std::nextafter(c.bound, 0.0F)) << bound << " " << resolution;
        ASSERT_EQ(std::rint(c.bound / c.step), codes) << bound << " " << resolution;
        ASSERT_EQ(reference::quantize(c.bound, c.step), codes * c.step);
        equal += codes * c.step == c.bound ? 1 : 0;
        ++tried;
      }
    }
    for (int steps = 2; steps <= 1024; ++steps) {  // any number of levels; odd ones have half a step beyond the last
      const Converter c = make_converter(bound, static_cast<double>(steps));
      const float codes = std::floor(0.5F * static_cast<float>(steps));
      ASSERT_LE(codes * c.step, c.bound) << bound << " " << steps;
      ASSERT_GT((codes + 1.0F) * c.step, c.bound) << bound << " " << steps;
    }
  }
  EXPECT_GT(equal, tried * 98 / 100);  // for the others no float32 step gives the bound
  const Converter usual = make_converter(12.0, 1.0 / 510.0);
  EXPECT_EQ(255.0F * usual.step, 12.0F);
}

TEST(MakeConverter, StepIsThatOfDoubleArithmeticRoundedOnce) {
  for (const double bound : {1.0, 0.7, 12.0, 20.0})
    for (const double steps : {126.0, 254.0, 255.0, 510.0}) {
      const auto rounded = static_cast<float>(2.0 * bound / steps);
      EXPECT_LE(std::fabs(make_converter(bound, steps).step - rounded), 0.0F) << bound << " " << steps;
    }
}

TEST(MakeConverter, InfiniteBoundHasNoStep) {
  const Converter c = make_converter(std::numeric_limits<double>::infinity(), 254.0);
  EXPECT_EQ(c.step, 0.0F);
  EXPECT_EQ(c.bound, infinity);
}

TEST(ConvertInputs, EqualsTheScalarDefinition) {
  const std::vector<float> range{0.0F, 0.7F, 3.0F, 1e-20F};
  int cases = 0;
  for_each_target([&] {
    for (const std::int64_t cols : {1, 5, 15, 16, 17, 27, 33, 64}) {
      const std::int64_t rows = 7;
      const Matrix x = normals(rows, cols, 1, 0.8F);
      const Matrix noise = normals(rows, cols, 2, 1.0F);
      const Matrix dither = uniforms(rows, cols);
      const Matrix scale = uniforms(1, rows);
      for (int flags = 0; flags < 256; ++flags) {
        Matrix z(rows, cols);
        ConversionCounts counts;
        DacBlock b;
        b.x = x.view();
        b.z = z.view();
        b.range = range[static_cast<std::size_t>(flags & 3)];
        b.scale = (flags & 4) != 0 ? scale.data() : nullptr;
        b.converter = (flags & 8) != 0 ? make_converter(1.0, 1.0 / 126.0) : make_converter(0.9, -1.0);
        b.dither = (flags & 16) != 0 ? dither.data() : nullptr;
        b.noise = (flags & 32) != 0 ? noise.data() : nullptr;
        b.noise_std = 0.1F;
        b.negative_factor = (flags & 64) != 0 ? 0.9F : 1.0F;
        b.counts = (flags & 128) != 0 ? &counts : nullptr;
        ASSERT_TRUE(convert_inputs(b));
        std::int64_t outside = 0;
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t c = 0; c < cols; ++c) {
            ASSERT_TRUE(same_bits(z(r, c), reference_dac(b, r, c))) << "flags " << flags << " at " << r << "," << c;
            outside += std::fabs(x(r, c)) > b.range ? 1 : 0;
          }
        if (b.counts != nullptr && b.range > 0.0F) {
          EXPECT_EQ(counts.range_clipped, outside);
        }
        ++cases;
      }
    }
  });
  EXPECT_GE(cases, 2000);
}

TEST(ConvertInputs, DividesExactly) {
  // Quotients by the step and by the range that sit on or beside ties and roundings.
  for_each_target([&] {
    for (const float divisor : {0.7F, 1.0F, 3.0F, 2.0F / 126.0F, 2.0F / 254.0F, 0.1F, 0.33333334F, 24.0F / 510.0F}) {
      std::vector<float> values;
      for (int k = -600; k <= 600; ++k) {
        float v = (static_cast<float>(k) + 0.5F) * divisor;
        for (int ulp = 0; ulp < 5; ++ulp) v = std::nextafter(v, -infinity);
        for (int ulp = 0; ulp < 11; ++ulp) values.push_back(v = std::nextafter(v, infinity));
      }
      const Matrix random_values = normals(1, 20000, 9, 1.0F);
      for (const float v : random_values.values()) values.push_back(v);
      for (const float v : {0.0F, -0.0F, 1e-30F, -1e-38F, 1e-45F, -1e-45F, 3e38F, -3e38F}) values.push_back(v);
      const std::int64_t n = static_cast<std::int64_t>(values.size());
      std::vector<float> z(values.size());
      DacBlock b;
      b.x = {values.data(), 1, n};
      b.z = {z.data(), 1, n};
      b.converter = {divisor, 1000.0F};
      ASSERT_TRUE(convert_inputs(b));
      for (std::int64_t i = 0; i < n; ++i) ASSERT_TRUE(same_bits(z[i], reference_dac(b, 0, i))) << values[i];
      b.converter = {2.0F / 254.0F, 1.0F};
      b.range = divisor;
      ASSERT_TRUE(convert_inputs(b));
      for (std::int64_t i = 0; i < n; ++i) ASSERT_TRUE(same_bits(z[i], reference_dac(b, 0, i))) << values[i];
    }
  });
}

TEST(ConvertInputs, RefusesValuesThatAreNotFinite) {
  for_each_target([&] {
    for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
      Matrix x(3, 19);
      Matrix z(3, 19);
      DacBlock b;
      b.x = x.view();
      b.z = z.view();
      b.range = 1.0F;
      EXPECT_TRUE(convert_inputs(b));
      x(2, 18) = bad;
      EXPECT_FALSE(convert_inputs(b));
    }
  });
}

TEST(ConvertOutputs, EqualsTheScalarDefinition) {
  int cases = 0;
  for_each_target([&] {
    for (const std::int64_t cols : {1, 6, 8, 16, 17, 31, 40}) {
      // Many short rows are converted together, also where they lie apart at their destination.
      const std::int64_t rows = cols == 1 ? 530 : cols == 6 || cols == 8 ? 37 : 5, apart = cols <= 6 ? 3 : 0;
      const Matrix v = normals(rows, cols, 1, 6.0F);
      const Matrix noise = normals(rows, cols, 2, 1.0F);
      const Matrix dither = uniforms(rows, cols);
      const Matrix per_row = uniforms(1, rows);
      const Matrix per_column = normals(1, cols, 5, 1.0F);
      for (int flags = 0; flags < 512; ++flags) {
        Matrix y(rows, cols + apart);
        std::vector<std::int32_t> above(rows);
        std::vector<std::int32_t> below(rows);
        std::vector<float> peaks(rows);
        AdcBlock b;
        b.v = v.view();
        b.y = {y.data(), rows, cols, cols + apart};
        b.noise = (flags & 1) != 0 ? noise.data() : nullptr;
        b.noise_std = 0.3F;
        b.noise_stds = (flags & 2) != 0 ? per_column.data() : nullptr;
        b.converter = (flags & 4) != 0 ? make_converter(10.0, 254.0) : make_converter(7.0, -1.0);
        b.dither = (flags & 8) != 0 ? dither.data() : nullptr;
        b.row_scale = (flags & 16) != 0 ? per_row.data() : nullptr;
        b.column_scale = (flags & 32) != 0 ? per_column.data() : nullptr;
        b.bias = (flags & 64) != 0 ? per_column.data() : nullptr;
        b.variance = (flags & 256) != 0 ? dither.data() : nullptr;
        b.variance_factor = 0.7F;
        if ((flags & 128) != 0) {
          b.above = above.data();
          b.below = below.data();
          b.peaks = peaks.data();
        }
        convert_outputs(b);
        for (std::int64_t r = 0; r < rows; ++r) {
          AdcBlock bare = b;
          bare.row_scale = bare.column_scale = bare.bias = nullptr;
          AdcBlock unclipped = bare;
          unclipped.converter.bound = infinity;
          float peak = 0.0F;
          std::int32_t high = 0;
          std::int32_t low = 0;
          for (std::int64_t c = 0; c < cols; ++c) {
            ASSERT_TRUE(same_bits(y(r, c), reference_adc(b, r, c))) << "flags " << flags << " at " << r << "," << c;
            peak = std::max(peak, std::fabs(reference_adc(bare, r, c)));
            high += reference_adc(unclipped, r, c) > b.converter.bound ? 1 : 0;
            low += reference_adc(unclipped, r, c) < -b.converter.bound ? 1 : 0;
          }
          if (b.above != nullptr) {
            EXPECT_EQ(above[static_cast<std::size_t>(r)], high);
            EXPECT_EQ(below[static_cast<std::size_t>(r)], low);
            EXPECT_EQ(peaks[static_cast<std::size_t>(r)], peak);
          }
        }
        ++cases;
      }
    }
  });
  EXPECT_GE(cases, 1500);
}

TEST(InputConversion, EqualsABlockOfRowsWithOneScale) {
  const Matrix x = normals(7, 13, 1, 2.0F);
  const std::vector<float> scales(7, 0.7F);
  for (const float scale : {1.0F, 0.7F}) {
    Matrix rows(7, 13);
    Matrix elements(7, 13);
    DacBlock block;
    block.x = x.view();
    block.z = rows.view();
    block.range = 1.5F;
    block.scale = scale == 1.0F ? nullptr : scales.data();
    block.converter = make_converter(1.0, 30.0);
    block.negative_factor = 0.9F;
    ASSERT_TRUE(convert_inputs(block));
    const InputConversion conversion{
        .range = 1.5F, .scale = scale, .converter = block.converter, .negative_factor = 0.9F};
    ASSERT_TRUE(convert_inputs(conversion, x.values(), elements.values()));
    for (std::size_t i = 0; i < rows.values().size(); ++i)
      ASSERT_TRUE(same_bits(rows.values()[i], elements.values()[i]));
  }
  const std::vector<float> bad{0.0F, infinity};
  std::vector<float> z(2);
  EXPECT_FALSE(convert_inputs(InputConversion{}, bad, z));
}

TEST(SquareInputs, SquaresAndSeesNegativeInputs) {
  for_each_target([] {
    for (const std::int64_t cols : {1, 13, 16, 33}) {
      Matrix wide = normals(4, cols + 5, 1, 1.0F);
      Matrix square(4, cols + 5);
      Matrix magnitude(4, cols + 5);
      for (const std::int64_t width : {cols, cols + 5}) {  // rows with gaps, and without
        const ConstMatrixView z(wide.data(), 4, width, cols + 5);
        EXPECT_TRUE(square_inputs(z, {square.data(), 4, width, cols + 5}));
        input_magnitudes(z, {magnitude.data(), 4, width, cols + 5});
        for (std::int64_t r = 0; r < 4; ++r)
          for (std::int64_t c = 0; c < width; ++c) {
            ASSERT_TRUE(same_bits(square(r, c), z(r, c) * z(r, c)));
            ASSERT_TRUE(same_bits(magnitude(r, c), std::fabs(z(r, c))));
          }
      }
      for (float& v : wide.values()) v = std::fabs(v);
      EXPECT_FALSE(square_inputs(wide.view(), square.view()));
      wide(3, cols + 4) = -1e-20F;
      EXPECT_TRUE(square_inputs(wide.view(), square.view()));
    }
  });
}

TEST(ReadNoise, EqualsItsFormula) {
  for_each_target([&] {
    for (const std::int64_t cols : {3, 16, 21}) {
      const Matrix v = normals(4, cols, 1, 1.0F);
      const Matrix a = uniforms(4, cols);
      const Matrix s = normals(4, cols, 2, 1.0F);
      Matrix noisy(v.view());
      add_read_noise(noisy.view(), a.view(), s.data(), 0.0175F);
      for (std::int64_t r = 0; r < 4; ++r)
        for (std::int64_t c = 0; c < cols; ++c) {
          const float std = 0.0175F * std::sqrt(a(r, c));
          EXPECT_TRUE(same_bits(noisy(r, c), v(r, c) + std * s(r, c)));
        }
    }
  });
}

TEST(RowAbsMax, FindsTheLargestMagnitudeAndReportsNaN) {
  for_each_target([&] {
    Matrix x = normals(3, 37, 1, 1.0F);
    x(1, 36) = -50.0F;
    x(2, 20) = infinity;
    std::vector<float> out(3);
    row_abs_max(x.view(), out);
    float expected = 0.0F;
    for (std::int64_t c = 0; c < 37; ++c) expected = std::max(expected, std::fabs(x(0, c)));
    EXPECT_EQ(out[0], expected);
    EXPECT_EQ(out[1], 50.0F);
    EXPECT_TRUE(std::isnan(out[2]));
  });
}

}  // namespace
}  // namespace tessera::kernels
