#pragma once
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "circuit/rectangle.hpp"

/// Private: admittance matrices of rectangles over their ports, and their merging.
namespace tessera::circuit::detail {

/// Memory of one thread for matrices that come and go: what is given back is used again. In large pieces, since fresh
/// pages cost more than the arithmetic of small merges. Views stay valid as long as it lives.
class Storage {
 public:
  /// Values are left as they are.
  RealView take(std::int64_t rows, std::int64_t cols);
  void give(ConstRealView matrix);

 private:
  struct Piece {
    double* data = nullptr;
    std::int64_t size = 0;
  };
  struct Release {
    void operator()(double* data) const;
  };
  Piece fresh(std::int64_t size);

  std::vector<std::unique_ptr<double, Release>> chunks_;
  Piece rest_;
  std::vector<Piece> free_;
  std::map<const double*, std::int64_t> sizes_;
};

/// Current into port p for port voltages v: sum_q y[p][q] v[q]. y is symmetric; only its upper triangle is kept.
struct MacroModel {
  Ports ports = {};
  RealView y = {};
};

/// What eliminating the joint nodes leaves behind: with S = u^T u their own block and C their coupling to the ports of
/// the union, coupling = u^-T C. Their voltages are -u^-1 coupling v.
struct Elimination {
  RealView u;
  RealView coupling;
};

/// Solves rectangles of a few cells, several of one shape at a time. For one thread: it keeps its scratch memory.
class LeafSolver {
 public:
  explicit LeafSolver(const Network& network);
  ~LeafSolver();
  /// None of the rectangles is to be cut further.
  std::vector<MacroModel> models(const std::vector<Rectangle>& rectangles, Storage& storage);

 private:
  struct Shape;
  Shape& shape(std::int64_t rows, std::int64_t cols);
  const Network& network_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::unique_ptr<Shape>> shapes_;
};

/// The sum of the joint's blocks and the coupling, eliminated. The joint's ports are the first of both parts.
Elimination eliminate_joint(const MacroModel& a, const MacroModel& b, const Join& join, Storage& storage,
                            Parallel parallel);

/// Y' = diag(Ya, Yb) - C S^-1 C^T over the ports of the union.
MacroModel merged(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e, Storage& storage,
                  Parallel parallel);

/// The same of the whole array, of which only the rows of the left ports and the columns of the bottom ports are
/// wanted.
RealMatrix merged_left_bottom(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e,
                              Parallel parallel);

}  // namespace tessera::circuit::detail
