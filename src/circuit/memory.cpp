#include "circuit/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

namespace tessera::circuit::detail {

double available_memory_bytes() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

void prefer_large_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  if (bytes >= large_page_bytes) madvise(data, bytes / large_page_bytes * large_page_bytes, MADV_HUGEPAGE);
#endif
}

}  // namespace tessera::circuit::detail
