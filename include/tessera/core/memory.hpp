#pragma once
#include <cstdint>

/// Memory between large steps.
namespace tessera {

/// Copies of at least so many bytes are worth calling give_back_freed() for.
inline constexpr std::int64_t large_copy_bytes = std::int64_t{1} << 20;

/// Returns what was freed to the system. Allocators keep it, and a hole that a matrix left in the heap does not fit the
/// next one of the same size, whose alignment asks for a little more: a network that is copied layer by layer would be
/// held twice.
void give_back_freed();

}  // namespace tessera
