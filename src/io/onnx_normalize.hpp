#pragma once
#include "onnx_emit.hpp"

namespace tessera::io {

/// scale * x / sqrt(mean of x^2 over the axes + epsilon)
nn::ValueId rms_normalized(const Emit& emit, nn::ValueId x, nn::ValueId scale, const std::vector<std::int64_t>& axes,
                           float epsilon);

}  // namespace tessera::io
