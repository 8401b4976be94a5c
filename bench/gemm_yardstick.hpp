#pragma once
#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

#include "tessera/core/tensor.hpp"

/// The plain single-precision product that every tile is compared with: the better of OpenBLAS and Eigen, on the same
/// shape and threads, timed between the timings of what it is compared with.
extern "C" {
void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float* a, int lda,
                 const float* b, int ldb, float beta, float* c, int ldc);
void openblas_set_num_threads(int threads);
}

namespace tessera::bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Shortest time of a call so far.
struct Shortest {
  double seconds = 1e30;
  template <class F>
  double time(F&& f) {
    const double start = bench::seconds();
    f();
    const double elapsed = bench::seconds() - start;
    seconds = std::min(seconds, elapsed);
    return elapsed;
  }
};

class GemmYardstick {
 public:
  GemmYardstick(ConstMatrixView weight, ConstMatrixView x, int threads)
      : weight_(weight), x_(x), y_(x.rows, weight.rows), threads_(threads) {
    openblas_set_num_threads(threads);
    Eigen::setNbThreads(threads);
  }

  /// Times OpenBLAS with both storage orders of the weights, and Eigen.
  void measure() {
    const auto m = static_cast<int>(x_.rows);
    const auto n = static_cast<int>(weight_.rows);
    const auto k = static_cast<int>(weight_.cols);
    constexpr int row_major = 101;
    constexpr int plain = 111;
    constexpr int transposed = 112;
    openblas_.time([&] {
      cblas_sgemm(row_major, plain, transposed, m, n, k, 1.0F, x_.data, k, weight_.data, k, 0.0F, y_.data(), n);
    });
    if (turned_.rows() == 0) {
      turned_ = Matrix(k, n);
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < k; ++j) turned_(j, i) = weight_(i, j);
    }
    openblas_.time([&] {
      cblas_sgemm(row_major, plain, plain, m, n, k, 1.0F, x_.data, k, turned_.data(), n, 0.0F, y_.data(), n);
    });
    using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const Eigen::Map<const RowMajor> x(x_.data, m, k);
    const Eigen::Map<const RowMajor> w(weight_.data, n, k);
    Eigen::Map<RowMajor> y(y_.data(), m, n);
    eigen_.time([&] { y.noalias() = x * w.transpose(); });
    // OpenBLAS's helpers wait awake for some 2^26 cycles and would take the processor from what is timed next.
    if (threads_ > 1) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }

  double openblas_seconds() const { return openblas_.seconds; }
  double eigen_seconds() const { return eigen_.seconds; }
  double best_seconds() const { return std::min(openblas_.seconds, eigen_.seconds); }

 private:
  ConstMatrixView weight_;
  ConstMatrixView x_;
  Matrix y_;
  Matrix turned_;
  int threads_;
  Shortest openblas_;
  Shortest eigen_;
};

}  // namespace tessera::bench
