#pragma once
#include <cstdint>

#include "tessera/kernels/dense_factor.hpp"

/// Private: the vectorised inner loops of dense_factor.hpp.
namespace tessera::kernels::detail {

/// Largest order of a system that the small solves take.
inline constexpr std::int64_t small_order = 64;

/// c -= a^T b for a strip of columns.
using ProductStrip = void (*)(const DoubleFactor& a, ConstDoubleView b, DoubleView c, std::int64_t first_column,
                              std::int64_t columns, Triangle triangle);
/// x <- u^-T x or u^-1 x for a small u, columns first..first + columns.
using SmallSolve = void (*)(ConstDoubleView u, DoubleView x, std::int64_t first_column, std::int64_t columns);
using LaneElimination = void (*)(double* y, std::int64_t n, std::int64_t count);

ProductStrip product_strip();
SmallSolve small_solve_transposed();
SmallSolve small_solve_upper();
LaneElimination lane_elimination();

}  // namespace tessera::kernels::detail
