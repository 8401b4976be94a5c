#pragma once
#include <cstdint>

#include "operator.hpp"

namespace tessera::nn {

/// An index along an axis, counted from its end if negative; RunError that names the node if it is out of range.
std::int64_t checked_index(std::int64_t index, std::int64_t extent, const ComputeContext& c);

}  // namespace tessera::nn
