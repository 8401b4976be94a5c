#pragma once
#include <cstdint>
#include <span>

#include "tessera/core/tensor.hpp"
#include "tessera/kernels/converter.hpp"

/// What converter codes add up to: the activity of a DAC.
namespace tessera::kernels {

struct CodeSums {
  std::int64_t codes = 0;  ///< sum of n
  std::int64_t ones = 0;   ///< sum of the ones in n

  CodeSums& operator+=(const CodeSums& other);
  bool operator==(const CodeSums&) const = default;
};

/// How often columns count: whole numbers from 0 to `most`; empty: once.
struct ColumnCounts {
  std::span<const float> times = {};
  std::int64_t most = 1;
};

/// Over the magnitudes n of the codes of z, which must be finite: the nearest to |z| / step, ties to even, at most
/// that of the bound. 0 where the converter does not quantize. The same on every instruction set.
CodeSums code_sums(ConstMatrixView z, const Converter& dac, const ColumnCounts& columns = {});

}  // namespace tessera::kernels
