#pragma once
#include "im2col.hpp"
#include "linear_call.hpp"

namespace tessera::nn {

/// A depthwise convolution by operators that take their vectors side by side (LinearOperator::side_by_side): no windows
/// are gathered, and images stay channels-last. False, with nothing done, if they do not.
bool convolve_side_by_side(const LinearCall& call, const ConvGeometry& g, const LinearBranch& branch);

}  // namespace tessera::nn
