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

// One cell, or an interleaved pair, with its left input segments and its lower output segment.
LaneModel cell_model(const Network& network, const Corners& corners, std::int64_t row, std::int64_t col,
                     Workspace& workspace) {
  const std::int64_t sets = network.sets;
  LaneModel m{Ports{.sizes = {sets, sets, 1, 1}}};
  m.n = m.stride = m.ports.count();
  m.y = workspace.take(m.n);
  std::fill_n(m.y, m.n * m.n * lanes, 0.0);
  const std::int64_t top = m.ports.at(Side::top);
  const auto connect = [&](std::int64_t p, std::int64_t q, std::int64_t l, double g) {
    m.at(p, p)[l] += g;
    m.at(q, q)[l] += g;
    m.at(p, q)[l] -= g;
  };
  for (std::int64_t l = 0; l < lanes; ++l) {
    const std::int64_t input = corners[static_cast<std::size_t>(l)].row0 + row;
    const std::int64_t output = corners[static_cast<std::size_t>(l)].col0 + col;
    for (std::int64_t k = 0; k < sets; ++k) {
      connect(k, sets + k, l, output == 0 ? network.first_row_S : network.row_S);
      connect(sets + k, top, l, network.cells.set(k)(output, input));
    }
    connect(top, top + 1, l, input == network.inputs - 1 ? network.last_column_S : network.column_S);
  }
  return m;
}

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
  std::vector<LaneTree> halves = {};
};

LaneTree lane_tree(const Network& network, const Rectangle& part) {
  LaneTree tree{.part = part, .cut = cut_of(network, part, 1)};
  if (tree.cut == Cut::none) {
    tree.ports = Ports{.sizes = {network.sets, network.sets, 1, 1}};
    return tree;
  }
  for (const Rectangle& half : halves(part, tree.cut)) tree.halves.push_back(lane_tree(network, half));
  tree.joined = join(tree.halves[0].ports, tree.halves[1].ports, tree.cut, Ports{}.order);
  tree.ports = tree.joined.ports;
  return tree;
}

/// Values of a workspace for the tree.
std::size_t values_needed(const LaneTree& tree) {
  const std::int64_t order = tree.joined.joined + tree.ports.count();
  const auto own = static_cast<std::size_t>(order * order * lanes);
  if (tree.halves.empty()) return own;
  const LaneTree& a = tree.halves[0];
  const std::int64_t order_of_a = a.joined.joined + a.ports.count();
  const auto kept = static_cast<std::size_t>(order_of_a * order_of_a * lanes);
  return own + std::max(values_needed(a), kept + values_needed(tree.halves[1]));
}

LaneModel lane_model(const Network& network, const Corners& corners, const LaneTree& tree, Workspace& workspace) {
  if (tree.cut == Cut::none) return cell_model(network, corners, tree.part.row0, tree.part.col0, workspace);
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

// Open ends of lines carry no current: their ports are eliminated. The others come in the order of `kept`.
LaneModel without_open_ends(const LaneModel& m, const Ports& kept, Workspace& workspace) {
  std::vector<std::int64_t> order;
  const auto take = [&](Side side) {
    for (std::int64_t p = m.ports.at(side); p < m.ports.at(side) + m.ports.size(side); ++p) order.push_back(p);
  };
  for (const Side side : kept.order)
    if (kept.size(side) == 0) take(side);
  const auto dropped = static_cast<std::int64_t>(order.size());
  for (const Side side : kept.order)
    if (kept.size(side) > 0) take(side);
  double* const whole = workspace.take(m.n);
  for (std::int64_t i = 0; i < m.n; ++i)
    for (std::int64_t j = i; j < m.n; ++j)
      copy_lanes(m.at(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]),
                 whole + (i * m.n + j) * lanes);
  return eliminated(whole, m.n, dropped, kept);
}

}  // namespace

std::vector<MacroModel> leaf_models(const Network& network, const std::vector<Rectangle>& rectangles) {
  using Kind = std::tuple<std::int64_t, std::int64_t, std::array<std::int64_t, 4>, std::array<Side, 4>>;
  std::map<Kind, std::vector<std::size_t>> kinds;
  for (std::size_t r = 0; r < rectangles.size(); ++r) {
    const Ports p = ports_of(network, rectangles[r]);
    kinds[{rectangles[r].rows(), rectangles[r].cols(), p.sizes, p.order}].push_back(r);
  }
  std::vector<MacroModel> models(rectangles.size());
  for (const auto& [kind, members] : kinds) {
    const Rectangle shape{0, std::get<0>(kind), 0, std::get<1>(kind)};
    const LaneTree tree = lane_tree(network, shape);
    const auto last = static_cast<std::size_t>(tree.ports.count() * tree.ports.count() * lanes);
    Workspace workspace(values_needed(tree) + last);
    for (std::size_t first = 0; first < members.size(); first += lanes) {
      const std::size_t count = std::min<std::size_t>(lanes, members.size() - first);
      Corners corners;
      for (std::size_t l = 0; l < lanes; ++l) corners[l] = rectangles[members[first + std::min(l, count - 1)]];
      workspace.release_to(0);
      const LaneModel m = without_open_ends(lane_model(network, corners, tree, workspace),
                                            ports_of(network, corners.front()), workspace);
      for (std::size_t l = 0; l < count; ++l) {
        MacroModel& out = models[members[first + l]];
        out.ports = m.ports;
        out.y = RealMatrix::uninitialized(m.n, m.n);
        const RealView y = out.y.view();
        for (std::int64_t i = 0; i < m.n; ++i)
          for (std::int64_t j = i; j < m.n; ++j) y(i, j) = m.at(i, j)[l];
      }
    }
  }
  return models;
}

}  // namespace tessera::circuit::detail
