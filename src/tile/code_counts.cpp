#include "tile/code_counts.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/kernels/code_sums.hpp"

namespace tessera::tile {

void count_codes(ConstMatrixView z, const kernels::Converter& dac, LayerStatistics& statistics) {
  if (dac.step <= 0.0F || !std::isfinite(dac.bound)) return;
  const float per_step = 1.0F / dac.step;
  const float largest = std::rint(dac.bound * per_step);
  if (!(largest >= 1.0F) || largest > 16777215.0F) return;
  const std::int64_t chunk = kernels::most_codes(largest);
  for (std::int64_t r = 0; r < z.rows; ++r) {
    for (std::int64_t begin = 0; begin < z.cols; begin += chunk) {
      const auto count = static_cast<std::size_t>(std::min(chunk, z.cols - begin));
      const kernels::CodeSums sums = kernels::code_sums({z.row(r) + begin, count}, per_step, largest);
      statistics.dac_code_sum += sums.codes;
      statistics.dac_bit_sum += sums.ones;
    }
  }
}

}  // namespace tessera::tile
