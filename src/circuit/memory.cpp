#include "circuit/memory.hpp"

#include <unistd.h>

namespace tessera::circuit::detail {

double available_memory_bytes() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

}  // namespace tessera::circuit::detail
