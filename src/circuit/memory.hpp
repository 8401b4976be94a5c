#pragma once
#include <cstddef>

namespace tessera::circuit::detail {

/// Of the machine, not of what is free: a bound beyond which nothing can work.
double available_memory_bytes();

inline constexpr std::size_t large_page_bytes = std::size_t{2} << 20;
/// Asks the system to back memory by large pages, where it can: fewer of them to clear and to map.
void prefer_large_pages(void* data, std::size_t bytes);

}  // namespace tessera::circuit::detail
