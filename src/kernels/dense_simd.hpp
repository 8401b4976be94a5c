#pragma once
#include <cstdint>

#include "tessera/kernels/dense_factor.hpp"

/// Private: the vectorised inner loops of dense_factor.hpp.
namespace tessera::kernels::detail {

/// Largest order of a system that the small solves take.
inline constexpr std::int64_t small_order = 64;

/// Most columns that one call of a ProductStrip takes: a multiple of every tile's width.
inline constexpr std::int64_t strip_columns = 192;

/// Which rows of a product are wanted: all, or in column j those up to the diagonal, but at most those before the
/// border that j lies in.
struct WantedRows {
  std::int64_t rows = 0;
  bool upper = false;
  std::array<std::int64_t, 2> border_begin = {};  ///< upper: the first column of either border; the second follows

  std::int64_t in_column(std::int64_t j) const {
    if (!upper) return rows;
    if (j < border_begin[0]) return j + 1;
    return j < border_begin[1] ? border_begin[0] : border_begin[1];
  }
};

/// Where a product is subtracted from, in groups of eight rows and columns.
struct PairGroups {
  static constexpr std::int64_t size = 8;
  struct Group {
    int part = 0;
    std::int64_t from = 0;
  };
  std::array<ConstDoubleView, 2> parts;
  const Group* groups = nullptr;  ///< null: from what the result holds

  /// Element (row, col) and its neighbours to the right within a group; null for 0.
  const double* at(std::int64_t row, std::int64_t col) const {
    const Group& r = groups[row / size];
    const Group& c = groups[col / size];
    if (r.part != c.part) return nullptr;
    return parts[static_cast<std::size_t>(r.part)].row(r.from + row % size) + c.from + col % size;
  }
};

/// c = source - a^T b for a strip of columns.
using ProductStrip = void (*)(const DoubleFactor& a, ConstDoubleView b, DoubleView c, std::int64_t first_column,
                              std::int64_t columns, const WantedRows& wanted, const PairGroups& source);
/// s = u^T u for an s of order up to small_order.
using SmallFactor = bool (*)(DoubleView s);
/// x <- u^-T x or u^-1 x for a small u, columns first..first + columns.
using SmallSolve = void (*)(ConstDoubleView u, DoubleView x, std::int64_t first_column, std::int64_t columns);
using LaneElimination = void (*)(double* y, std::int64_t n, std::int64_t count);

ProductStrip product_strip();
SmallFactor small_factor();
SmallSolve small_solve_transposed();
SmallSolve small_solve_upper();
LaneElimination lane_elimination();

}  // namespace tessera::kernels::detail
