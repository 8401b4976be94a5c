// Are the sums of DAC codes and of their ones what a loop over the codes gives, for every length and on every target?
#include "tessera/kernels/code_sums.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <vector>

namespace tessera::kernels {
namespace {

/// With codes 0 ... largest up to the bound 1.
Converter dac_of(float largest) {
  return make_converter(1.0, 2.0 * static_cast<double>(largest));
}

CodeSums by_hand(ConstMatrixView z, const Converter& dac, std::span<const float> times = {}) {
  CodeSums sums;
  const float per_step = 1.0F / dac.step, largest = std::rint(dac.bound * per_step);
  for (std::int64_t r = 0; r < z.rows; ++r)
    for (std::int64_t c = 0; c < z.cols; ++c) {
      const auto code =
          static_cast<std::uint32_t>(std::nearbyint(std::min(std::fabs(z.row(r)[c]) * per_step, largest)));
      const auto n = times.empty() ? 1 : static_cast<std::int64_t>(times[static_cast<std::size_t>(c)]);
      sums.codes += n * code;
      sums.ones += n * std::popcount(code);
    }
  return sums;
}

std::vector<float> values() {
  std::vector<float> z(200);
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = 1.3F * std::sin(0.7F * static_cast<float>(i * i + 1));
  z[5] = 0.0F;
  z[6] = 3.5F / 127.0F;  // a tie
  z[7] = -50.0F;         // beyond the bound
  return z;
}

const std::vector<float> tops{1.0F, 7.0F, 127.0F, 255.0F, 256.0F, 65535.0F, 8388607.0F};

TEST(CodeSums, AreThoseOfALoopOnEveryTarget) {
  const std::vector<float> z = values();
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (std::int64_t n = 0; n <= std::ssize(z); ++n)
      for (const float largest : tops) {
        const ConstMatrixView row(z.data(), 1, n);
        ASSERT_EQ(code_sums(row, dac_of(largest)), by_hand(row, dac_of(largest)))
            << n << " values, " << largest << " codes, target " << hwy::TargetName(target);
      }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(CodeSums, CountColumnsAsOftenAsAsked) {
  const std::vector<float> z = values();
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const std::int64_t cols : {1, 5, 16, 23, 40})
      for (const float largest : tops)
        for (const std::int64_t most : {1, 25, 65535}) {
          std::vector<float> times(static_cast<std::size_t>(cols));
          for (std::size_t c = 0; c < times.size(); ++c)
            times[c] = static_cast<float>((7 * static_cast<std::int64_t>(c) + most) % (most + 1));
          const ConstMatrixView rows(z.data(), 200 / cols, cols);
          ASSERT_EQ(code_sums(rows, dac_of(largest), {times, most}), by_hand(rows, dac_of(largest), times))
              << cols << " columns up to " << most << " times, " << largest << " codes, target "
              << hwy::TargetName(target);
        }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(CodeSums, TakePartsOfRows) {
  const std::vector<float> z = values();
  const ConstMatrixView part = ConstMatrixView(z.data(), 10, 20).cols_from(3, 9);
  EXPECT_EQ(code_sums(part, dac_of(127.0F)), by_hand(part, dac_of(127.0F)));
  EXPECT_EQ(code_sums(part, Converter{}), CodeSums{}) << "no codes";
}

TEST(CodeSums, DoNotOverflow) {
  const float largest = 8388607.0F;
  const std::vector<float> z(3000, 2.0F), times(3000, 500.0F);
  const ConstMatrixView row(z.data(), 1, 3000);
  EXPECT_EQ(code_sums(row, dac_of(largest)).codes, 3000 * 8388607LL);
  EXPECT_EQ(code_sums(row, dac_of(largest), {times, 500}), by_hand(row, dac_of(largest), times));
}

}  // namespace
}  // namespace tessera::kernels
