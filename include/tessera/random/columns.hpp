#pragma once
#include <cstdint>
#include <span>

#include "tessera/core/tensor.hpp"
#include "tessera/random/stream.hpp"

/// Draws of several streams side by side.
namespace tessera::random {

/// fill_uniform() and fill_normal() of every stream: out(r, s) is element first + r of stream s. The rows of `out` are
/// contiguous, as long as there are streams; InputError otherwise.
void fill_uniform(std::span<const Stream> streams, std::uint32_t event, std::uint64_t first, MatrixView out);
void fill_normal(std::span<const Stream> streams, std::uint32_t event, std::uint64_t first, MatrixView out);

}  // namespace tessera::random
