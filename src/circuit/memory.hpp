#pragma once

namespace tessera::circuit::detail {

/// Physical memory of this machine.
double available_memory_bytes();

}  // namespace tessera::circuit::detail
