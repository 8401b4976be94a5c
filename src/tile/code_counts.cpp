#include "tile/code_counts.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::tile {

namespace {

/// Ones of a 32-bit word, in operations that vectorise on every target.
std::uint32_t ones(std::uint32_t word) {
  word -= (word >> 1U) & 0x55555555U;
  word = (word & 0x33333333U) + ((word >> 2U) & 0x33333333U);
  word = (word + (word >> 4U)) & 0x0f0f0f0fU;
  return (word * 0x01010101U) >> 24U;
}

}  // namespace

void count_codes(ConstMatrixView z, const kernels::Converter& dac, LayerStatistics& statistics) {
  if (dac.step <= 0.0F || !std::isfinite(dac.bound)) return;
  const float per_step = 1.0F / dac.step;
  const float largest = std::rint(dac.bound * per_step);
  if (!(largest >= 1.0F) || largest > 16777215.0F) return;
  // So many codes that their sum fits 32 bits.
  const auto chunk = static_cast<std::int64_t>(4294967295.0 / (static_cast<double>(largest) + 1.0));
  for (std::int64_t r = 0; r < z.rows; ++r) {
    const float* const row = z.row(r);
    for (std::int64_t begin = 0; begin < z.cols; begin += chunk) {
      const std::int64_t end = std::min(z.cols, begin + chunk);
      std::uint32_t codes = 0;
      std::uint32_t bits = 0;
      for (std::int64_t i = begin; i < end; ++i) {
        const float magnitude = std::min(std::fabs(row[i]) * per_step, largest) + 0.5F;
        const auto code = static_cast<std::uint32_t>(static_cast<std::int32_t>(magnitude));
        codes += code;
        bits += ones(code);
      }
      statistics.dac_code_sum += codes;
      statistics.dac_bit_sum += bits;
    }
  }
}

}  // namespace tessera::tile
