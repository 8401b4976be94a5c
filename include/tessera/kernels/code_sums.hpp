#pragma once
#include <cstdint>
#include <span>

/// What a row of converter codes adds up to: the activity of a DAC.
namespace tessera::kernels {

struct CodeSums {
  std::uint32_t codes = 0;  ///< sum of n
  std::uint32_t ones = 0;   ///< sum of the ones in n

  bool operator==(const CodeSums&) const = default;
};

/// Over n = trunc(min(|z| per_step, largest) + 1/2): the nearest code, ties away from zero. z must be finite and z.size()
/// at most most_codes(largest), so that sums fit 32 bits. The same on every instruction set.
CodeSums code_sums(std::span<const float> z, float per_step, float largest);

/// floor((2^32 - 1) / (largest + 1)).
std::int64_t most_codes(float largest);

}  // namespace tessera::kernels
