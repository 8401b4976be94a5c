#pragma once
#include "tessera/core/tensor.hpp"

namespace tessera {

/// Whether `given` means the same as `wanted`: extents of 1 added or removed, or all axes flattened to one. Other
/// shapes of as many elements would have axes change their meaning.
bool shapes_agree(const Shape& given, const Shape& wanted);

}  // namespace tessera
