#pragma once
#include "backward.hpp"

/// Derivatives of operators without parameters; backward_elementwise.cpp lists them in one table.
namespace tessera::nn {

// backward_matmul.cpp
void backward_matmul(const BackwardContext& c);
// backward_spatial.cpp
void backward_max_pool(const BackwardContext& c);
void backward_average_pool(const BackwardContext& c);
// backward_reduce.cpp
void backward_reduce(const BackwardContext& c);
void backward_softmax(const BackwardContext& c);
void backward_log_softmax(const BackwardContext& c);
// backward_shape.cpp
void backward_view(const BackwardContext& c);
void backward_moved(const BackwardContext& c);

/// target = sum of `values` (of the shape of `like`) over the axes along which target is repeated to that shape; in
/// double, in an order that depends on the shapes alone.
void sum_repeated(const float* values, const Array& like, const Array& target, Parallel parallel);

}  // namespace tessera::nn
