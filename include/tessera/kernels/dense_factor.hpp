#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"

/// Dense algebra in double precision for symmetric positive definite matrices that are used once: what merging resistor
/// networks consists of. Every sum runs over its index in a fixed order (in blocks of 128), so the bits do not depend
/// on the thread count; instruction sets without fused multiply-add round differently in the last places.
namespace tessera::kernels {

using DoubleView = BasicMatrixView<double>;
using ConstDoubleView = BasicMatrixView<const double>;

/// A factor [inner, rows] of a product, of which either extent may be contiguous: element (k, i) lies at
/// data[k * inner_step + i * row_step].
struct DoubleFactor {
  const double* data = nullptr;
  std::int64_t inner = 0;
  std::int64_t rows = 0;
  std::int64_t inner_step = 0;
  std::int64_t row_step = 1;

  DoubleFactor() = default;
  DoubleFactor(ConstDoubleView view)  // NOLINT(google-explicit-constructor): every view is one
      : data(view.data), inner(view.rows), rows(view.cols), inner_step(view.stride) {}
  DoubleFactor(DoubleView view) : DoubleFactor(ConstDoubleView(view)) {}  // NOLINT(google-explicit-constructor)
};

/// The transpose of a view as a factor: inner = its columns, rows = its rows.
DoubleFactor transposed(ConstDoubleView view);

enum class Triangle {
  all,
  upper  ///< entries below the diagonal are left unspecified
};

/// c -= a^T b with a [inner, rows], b [inner, cols], c [rows, cols]; c overlaps neither. Throws InputError if the
/// shapes do not fit.
void subtract_product(const DoubleFactor& a, ConstDoubleView b, DoubleView c, Triangle triangle = Triangle::all,
                      Parallel parallel = {});

/// diag(A, B) with rows and columns reordered in pieces: indices [from, from + count) of a part are [to, to + count) of
/// the whole. The pieces follow each other from 0 on, and keep the order of either part.
struct DiagonalPair {
  struct Piece {
    int part = 0;
    std::int64_t from = 0, to = 0, count = 0;
  };
  std::array<ConstDoubleView, 2> parts;
  std::span<const Piece> pieces;
};

/// y = P - c^T c with a diagonal pair P: its upper triangle, but for the diagonal blocks of the last `borders[0]` and
/// `borders[1]` rows, which are left unspecified. Of the parts only upper triangles are read.
void subtract_from_pair(const DiagonalPair& pair, ConstDoubleView c, std::array<std::int64_t, 2> borders, DoubleView y,
                        Parallel parallel = {});

/// s = u^T u: the upper triangle of s is replaced by u; below the diagonal s is neither read nor kept. False if a pivot
/// is not positive (s is then unspecified).
[[nodiscard]] bool factor_cholesky(DoubleView s, Parallel parallel = {});

/// x <- u^-T x with the upper triangle of u.
void solve_transposed(ConstDoubleView u, DoubleView x, Parallel parallel = {});

/// x <- u^-1 x with the upper triangle of u.
void solve_upper(ConstDoubleView u, DoubleView x, Parallel parallel = {});

/// Eight symmetric matrices of order n side by side, element (i, j), j >= i, of matrix l at y[(i * n + j) * 8 + l]: the
/// first `count` unknowns of each are eliminated,
///     for q = 0..count-1:  for i > q:  f = y_qi / y_qq;  for j >= i:  y_ij -= f y_qj,
/// after which the trailing part of order n - count holds the Schur complements. Small matrices are fastest this way.
inline constexpr std::int64_t eliminate_lanes = 8;
void eliminate_in_lanes(double* y, std::int64_t n, std::int64_t count);

}  // namespace tessera::kernels
