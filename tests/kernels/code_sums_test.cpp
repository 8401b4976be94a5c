// Are the sums of DAC codes and of their ones what a loop over the codes gives, for every length and on every target?
#include "tessera/kernels/code_sums.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <vector>

namespace tessera::kernels {
namespace {

CodeSums by_hand(std::span<const float> z, float per_step, float largest) {
  CodeSums sums;
  for (const float value : z) {
    const auto code = static_cast<std::uint32_t>(std::min(std::fabs(value) * per_step, largest) + 0.5F);
    sums.codes += code;
    sums.ones += static_cast<std::uint32_t>(std::popcount(code));
  }
  return sums;
}

TEST(CodeSums, AreThoseOfALoopOnEveryTarget) {
  std::vector<float> z(200);
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = 1.3F * std::sin(0.7F * static_cast<float>(i * i + 1));
  z[5] = 0.0F;
  z[6] = 3.5F / 127.0F;  // a tie
  z[7] = -50.0F;         // beyond the bound
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (std::size_t n = 0; n <= z.size(); ++n)
      for (const float largest : {1.0F, 7.0F, 127.0F, 65535.0F, 16777215.0F})
        ASSERT_EQ(code_sums({z.data(), n}, largest, largest), by_hand({z.data(), n}, largest, largest))
            << n << " values, " << largest << " codes, target " << hwy::TargetName(target);
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(CodeSums, FitTheirWords) {
  const float largest = 16777215.0F;
  const std::vector<float> z(static_cast<std::size_t>(most_codes(largest)), 2.0F);
  EXPECT_EQ(code_sums(z, largest, largest), by_hand(z, largest, largest));
  EXPECT_GE(std::uint64_t{by_hand(z, largest, largest).codes}, 255ULL * 16777215ULL);
}

}  // namespace
}  // namespace tessera::kernels
