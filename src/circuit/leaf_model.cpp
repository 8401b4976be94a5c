// Rectangles of up to 8x8 cells, eight of one shape at a time: one per lane of a SIMD register.
#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "circuit/macro_model.hpp"
#include "tessera/kernels/dense_factor.hpp"

namespace tessera::circuit::detail {
namespace {

constexpr std::int64_t lanes = kernels::eliminate_lanes;
constexpr std::int64_t cell_lines = 2;  // input lines and output lines that are assembled without merging

/// Upper triangles side by side, within a larger matrix of the workspace: entry (i, j), j >= i, of lane l lies at
/// y[(i * stride + j) * lanes + l].
struct LaneModel {
  Ports ports;
  std::int64_t n = 0;
  std::int64_t stride = 0;
  double* y = nullptr;

  double* at(std::int64_t i, std::int64_t j) const { return y + (std::min(i, j) * stride + std::max(i, j)) * lanes; }
};

/// Storage of one tree of merges: what a step needs lies behind what waits for it.
class Workspace {
 public:
  explicit Workspace(std::size_t values) : values_(values) {}
  double* take(std::int64_t order) {
    const auto wanted = static_cast<std::size_t>(order * order * lanes);
    TESSERA_EXPECT(used_ + wanted <= values_.size());
    double* const at = values_.data() + used_;
    used_ += wanted;
    return at;
  }
  std::size_t used() const { return used_; }
  void release_to(std::size_t used) { used_ = used; }

 private:
  AlignedVector<double> values_;
  std::size_t used_ = 0;
};

inline void copy_lanes(const double* from, double* to) {
  std::memcpy(to, from, lanes * sizeof(double));
}

// Entries (i, j .. j + count) of a model.
inline void copy_entries(const LaneModel& m, std::int64_t i, std::int64_t j, std::int64_t count, double* to) {
  if (i <= j) {
    const double* from = m.y + (i * m.stride + j) * lanes;
    for (std::int64_t c = 0; c < count * lanes; c += lanes) copy_lanes(from + c, to + c);
    return;
  }
  for (std::int64_t c = 0; c < count; ++c) copy_lanes(m.at(i, j + c), to + c * lanes);
}

using Corners = std::array<Rectangle, lanes>;

// What is left of a matrix of `order` unknowns without the first `count`.
LaneModel eliminated(double* whole, std::int64_t order, std::int64_t count, const Ports& ports) {
  kernels::eliminate_in_lanes(whole, order, count);
  return {ports, order - count, order, whole + count * (order + 1) * lanes};
}

/// The tree of merges of a shape: the same for all of its rectangles.
struct LaneTree {
  Rectangle part;
  Cut cut = Cut::none;
  Join joined = {};
  Ports ports = {};
  std::int64_t order = 0;  ///< of the matrix that is assembled: eliminated unknowns and ports
  std::vector<LaneTree> halves = {};
};

LaneTree lane_tree(const Network& network, const Rectangle& part) {
  LaneTree tree{.part = part, .cut = cut_of(network, part, cell_lines)};
  if (tree.cut == Cut::none) {
    const std::int64_t lines = network.sets * part.rows(), cols = part.cols();
    tree.ports = Ports{.sizes = {lines, lines, cols, cols}};
    tree.order = lines * (cols - 1) + cols * (part.rows() - 1) + tree.ports.count();
    return tree;
  }
  const bool columns = tree.cut == Cut::columns;
  const std::int64_t middle = columns ? (part.col0 + part.col1) / 2 : (part.row0 + part.row1) / 2;
  for (const Rectangle& half : parts_at(part, tree.cut, middle)) tree.halves.push_back(lane_tree(network, half));
  tree.joined = join(tree.halves[0].ports, tree.halves[1].ports, tree.cut, Ports{});
  tree.ports = tree.joined.ports;
  tree.order = tree.joined.joined + tree.ports.count();
  return tree;
}

/// Values of a workspace for the tree.
std::size_t values_needed(const LaneTree& tree) {
  const auto own = static_cast<std::size_t>(tree.order * tree.order * lanes);
  if (tree.halves.empty()) return own;
  const LaneTree& a = tree.halves[0];
  const auto kept = static_cast<std::size_t>(a.order * a.order * lanes);
  return own + std::max(values_needed(a), kept + values_needed(tree.halves[1]));
}

// A few cells, each with its left input segments and its lower output segment, at once. An input line's nodes are its
// left port, one to the right of every cell but the last, and its right port; an output line's likewise downwards.
LaneModel cell_model(const Network& network, const Corners& corners, const LaneTree& tree, Workspace& workspace) {
  const std::int64_t sets = network.sets, rows = tree.part.rows(), cols = tree.part.cols();
  const std::int64_t inner_inputs = sets * rows * (cols - 1), inner = inner_inputs + (rows - 1) * cols;
  LaneModel m{tree.ports, tree.order, tree.order, workspace.take(tree.order)};
  std::fill_n(m.y, m.n * m.n * lanes, 0.0);
  const auto input_node = [&](std::int64_t line, std::int64_t right_of) {
    if (right_of < 0) return inner + tree.ports.at(Side::left) + line;
    if (right_of == cols - 1) return inner + tree.ports.at(Side::right) + line;
    return line * (cols - 1) + right_of;
  };
  const auto output_node = [&](std::int64_t above, std::int64_t col) {
    if (above == 0) return inner + tree.ports.at(Side::top) + col;
    if (above == rows) return inner + tree.ports.at(Side::bottom) + col;
    return inner_inputs + (above - 1) * cols + col;
  };
  std::array<double, lanes> g;
  const auto connect = [&](std::int64_t p, std::int64_t q) {
    double* const pp = m.at(p, p);
    double* const qq = m.at(q, q);
    double* const pq = m.at(p, q);
    for (std::size_t l = 0; l < lanes; ++l) {
      pp[l] += g[l];
      qq[l] += g[l];
      pq[l] -= g[l];
    }
  };
  const auto first_input = [&](std::size_t l) { return corners[l].row0 + tree.part.row0; };
  const auto first_output = [&](std::size_t l) { return corners[l].col0 + tree.part.col0; };
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) {
      for (std::int64_t k = 0; k < sets; ++k) {
        const std::int64_t line = sets * r + k;
        for (std::size_t l = 0; l < lanes; ++l) g[l] = first_output(l) + c == 0 ? network.first_row_S : network.row_S;
        connect(input_node(line, c - 1), input_node(line, c));
        const ConstRealView cells = network.cells.set(k);
        for (std::size_t l = 0; l < lanes; ++l) g[l] = cells(first_output(l) + c, first_input(l) + r);
        connect(input_node(line, c), output_node(r, c));
      }
      for (std::size_t l = 0; l < lanes; ++l)
        g[l] = first_input(l) + r == network.inputs - 1 ? network.last_column_S : network.column_S;
      connect(output_node(r, c), output_node(r + 1, c));
    }
  return eliminated(m.y, m.n, inner, tree.ports);
}

LaneModel lane_model(const Network& network, const Corners& corners, const LaneTree& tree, Workspace& workspace) {
  if (tree.cut == Cut::none) return cell_model(network, corners, tree, workspace);
  const Join& j = tree.joined;
  const std::int64_t k = j.joined, n = k + j.ports.count();
  double* const whole = workspace.take(n);
  const std::size_t kept = workspace.used();
  const LaneModel a = lane_model(network, corners, tree.halves[0], workspace);
  const LaneModel b = lane_model(network, corners, tree.halves[1], workspace);
  const auto cell = [&](std::int64_t r, std::int64_t c) { return whole + (r * n + c) * lanes; };
  for (std::int64_t q = 0; q < k; ++q) {
    for (std::int64_t c = q; c < k; ++c) {
      const double* from_a = a.at(j.joint[0] + q, j.joint[0] + c);
      const double* from_b = b.at(j.joint[1] + q, j.joint[1] + c);
      double* to = cell(q, c);
      for (std::int64_t l = 0; l < lanes; ++l) to[l] = from_a[l] + from_b[l];
    }
    for (int t = 0; t < j.segment_count; ++t) {
      const Segment& s = j.segments[static_cast<std::size_t>(t)];
      copy_entries(s.part == 0 ? a : b, j.joint[static_cast<std::size_t>(s.part)] + q, s.from, s.count,
                   cell(q, k + s.to));
    }
  }
  for (int t = 0; t < j.segment_count; ++t) {
    const Segment& r = j.segments[static_cast<std::size_t>(t)];
    const LaneModel& part = r.part == 0 ? a : b;
    for (int u = t; u < j.segment_count; ++u) {
      const Segment& c = j.segments[static_cast<std::size_t>(u)];
      for (std::int64_t p = 0; p < r.count; ++p) {
        const std::int64_t first = u == t ? p : 0;
        double* to = cell(k + r.to + p, k + c.to + first);
        if (c.part != r.part)
          std::fill_n(to, (c.count - first) * lanes, 0.0);
        else
          copy_entries(part, r.from + p, c.from + first, c.count - first, to);
      }
    }
  }
  workspace.release_to(kept);
  return eliminated(whole, n, k, j.ports);
}

// Open ends of lines carry no current: their ports are eliminated.
LaneModel without_open_ends(const LaneModel& m, const std::array<std::int64_t, 4>& kept, Workspace& workspace) {
  std::vector<std::int64_t> order;
  for (const bool keep : {false, true})
    for (const Side side : m.ports.order)
      for (std::int64_t p = m.ports.at(side); p < m.ports.at(side) + m.ports.size(side); ++p)
        if ((kept[index_of(side)] > 0) == keep) order.push_back(p);
  const Ports ports{.sizes = kept};
  const std::int64_t dropped = m.n - ports.count();
  if (dropped == 0) return m;
  double* const whole = workspace.take(m.n);
  for (std::int64_t i = 0; i < m.n; ++i)
    for (std::int64_t j = i; j < m.n; ++j)
      copy_lanes(m.at(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]),
                 whole + (i * m.n + j) * lanes);
  return eliminated(whole, m.n, dropped, ports);
}

// Lane l of a model with its sides in the order of `ports`.
RealView of_lane(const LaneModel& m, std::size_t l, const Ports& ports, Storage& storage) {
  const RealView y = storage.take(m.n, m.n);
  std::int64_t row = 0;
  for (std::size_t a = 0; a < ports.order.size(); ++a)
    for (std::int64_t i = m.ports.at(ports.order[a]), end = i + ports.size(ports.order[a]); i < end; ++i, ++row) {
      double* to = y.row(row) + row;
      for (std::size_t b = a; b < ports.order.size(); ++b) {
        const std::int64_t first = m.ports.at(ports.order[b]), last = first + ports.size(ports.order[b]);
        for (std::int64_t j = a == b ? i : first; j < last; ++j) *to++ = m.at(i, j)[l];
      }
    }
  return y;
}

}  // namespace

/// What rectangles of one shape share.
struct LeafSolver::Shape {
  LaneTree tree;
  Workspace workspace;

  explicit Shape(const LaneTree& t)
      : tree(t), workspace(values_needed(t) + static_cast<std::size_t>(t.ports.count() * t.ports.count() * lanes)) {}
};

LeafSolver::LeafSolver(const Network& network) : network_(network) {}
LeafSolver::~LeafSolver() = default;

LeafSolver::Shape& LeafSolver::shape(std::int64_t rows, std::int64_t cols) {
  std::unique_ptr<Shape>& found = shapes_[{rows, cols}];
  if (!found) found = std::make_unique<Shape>(lane_tree(network_, {0, rows, 0, cols}));
  return *found;
}

std::vector<MacroModel> LeafSolver::models(const std::vector<Rectangle>& rectangles, Storage& storage) {
  std::vector<MacroModel> models(rectangles.size());
  using Kind = std::tuple<std::int64_t, std::int64_t, std::array<std::int64_t, 4>>;
  std::map<Kind, std::vector<std::size_t>> kinds;
  for (std::size_t r = 0; r < rectangles.size(); ++r) {
    models[r].ports = ports_of(network_, rectangles[r]);
    kinds[{rectangles[r].rows(), rectangles[r].cols(), models[r].ports.sizes}].push_back(r);
  }
  for (const auto& [kind, members] : kinds) {
    auto& [tree, workspace] = shape(std::get<0>(kind), std::get<1>(kind));
    for (std::size_t first = 0; first < members.size(); first += lanes) {
      const std::size_t count = std::min<std::size_t>(lanes, members.size() - first);
      Corners corners;
      for (std::size_t l = 0; l < lanes; ++l) corners[l] = rectangles[members[first + std::min(l, count - 1)]];
      workspace.release_to(0);
      const LaneModel m =
          without_open_ends(lane_model(network_, corners, tree, workspace), std::get<2>(kind), workspace);
      for (std::size_t l = 0; l < count; ++l) {
        MacroModel& out = models[members[first + l]];
        out.y = of_lane(m, l, out.ports, storage);
      }
    }
  }
  return models;
}

}  // namespace tessera::circuit::detail
