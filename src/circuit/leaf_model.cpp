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

/// Upper triangles side by side: y[(i * n + j) * lanes + l], j >= i.
struct LaneModel {
  Ports ports;
  std::int64_t n = 0;
  AlignedVector<double> y;

  explicit LaneModel(const Ports& p) : ports(p), n(p.count()), y(static_cast<std::size_t>(n * n * lanes)) {}
  double* at(std::int64_t i, std::int64_t j) { return y.data() + (std::min(i, j) * n + std::max(i, j)) * lanes; }
  const double* at(std::int64_t i, std::int64_t j) const {
    return y.data() + (std::min(i, j) * n + std::max(i, j)) * lanes;
  }
};

inline void copy_lanes(const double* from, double* to) {
  std::memcpy(to, from, lanes * sizeof(double));
}

using Corners = std::array<Rectangle, lanes>;

// One cell, or an interleaved pair, with its left input segments and its lower output segment.
LaneModel cell_model(const Network& network, const Corners& corners, std::int64_t row, std::int64_t col) {
  const std::int64_t sets = network.sets;
  LaneModel m(Ports{.sizes = {sets, sets, 1, 1}});
  std::fill(m.y.begin(), m.y.end(), 0.0);
  for (std::int64_t l = 0; l < lanes; ++l) {
    const std::int64_t input = corners[static_cast<std::size_t>(l)].row0 + row;
    const std::int64_t output = corners[static_cast<std::size_t>(l)].col0 + col;
    const auto connect = [&](std::int64_t p, std::int64_t q, double g) {
      m.at(p, p)[l] += g;
      m.at(q, q)[l] += g;
      m.at(p, q)[l] -= g;
    };
    const std::int64_t top = m.ports.at(Side::top);
    for (std::int64_t k = 0; k < sets; ++k) {
      connect(k, sets + k, output == 0 ? network.first_row_S : network.row_S);
      connect(sets + k, top, network.cells.set(k)(output, input));
    }
    connect(top, top + 1, input == network.inputs - 1 ? network.last_column_S : network.column_S);
  }
  return m;
}

// The first `count` unknowns of `whole` eliminated.
LaneModel eliminated(AlignedVector<double> whole, std::int64_t order, std::int64_t count, const Ports& ports) {
  kernels::eliminate_in_lanes(whole.data(), order, count);
  LaneModel m(ports);
  for (std::int64_t i = 0; i < m.n; ++i)
    std::copy_n(whole.data() + ((count + i) * order + count + i) * lanes, (m.n - i) * lanes, m.at(i, i));
  return m;
}

LaneModel merged_lanes(const LaneModel& a, const LaneModel& b, Cut cut) {
  const Join j = join(a.ports, b.ports, cut, Ports{}.order);
  const std::int64_t k = j.joined, n = k + j.ports.count();
  AlignedVector<double> whole(static_cast<std::size_t>(n * n * lanes));
  const auto cell = [&](std::int64_t r, std::int64_t c) { return whole.data() + (r * n + c) * lanes; };
  for (std::int64_t q = 0; q < k; ++q) {
    for (std::int64_t c = q; c < k; ++c) {
      const double* from_a = a.at(j.joint[0] + q, j.joint[0] + c);
      const double* from_b = b.at(j.joint[1] + q, j.joint[1] + c);
      double* to = cell(q, c);
      for (std::int64_t l = 0; l < lanes; ++l) to[l] = from_a[l] + from_b[l];
    }
    for (int t = 0; t < j.segment_count; ++t) {
      const Segment& s = j.segments[static_cast<std::size_t>(t)];
      const LaneModel& part = s.part == 0 ? a : b;
      const std::int64_t own = j.joint[static_cast<std::size_t>(s.part)] + q;
      for (std::int64_t c = 0; c < s.count; ++c) copy_lanes(part.at(own, s.from + c), cell(q, k + s.to + c));
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
          for (std::int64_t q = first; q < c.count; ++q, to += lanes) copy_lanes(part.at(r.from + p, c.from + q), to);
      }
    }
  }
  return eliminated(std::move(whole), n, k, j.ports);
}

LaneModel lane_model(const Network& network, const Corners& corners, const Rectangle& part) {
  const Cut cut = cut_of(network, part, 1);
  if (cut == Cut::none) return cell_model(network, corners, part.row0, part.col0);
  const auto [a, b] = halves(part, cut);
  return merged_lanes(lane_model(network, corners, a), lane_model(network, corners, b), cut);
}

// Open ends of lines carry no current: their ports are eliminated. The others come in the order of `kept`.
LaneModel without_open_ends(const LaneModel& m, const Ports& kept) {
  std::vector<std::int64_t> order;
  const auto take = [&](Side side) {
    for (std::int64_t p = m.ports.at(side); p < m.ports.at(side) + m.ports.size(side); ++p) order.push_back(p);
  };
  for (const Side side : kept.order)
    if (kept.size(side) == 0) take(side);
  const auto dropped = static_cast<std::int64_t>(order.size());
  for (const Side side : kept.order)
    if (kept.size(side) > 0) take(side);
  AlignedVector<double> whole(m.y.size());
  for (std::int64_t i = 0; i < m.n; ++i)
    for (std::int64_t j = i; j < m.n; ++j)
      copy_lanes(m.at(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]),
                 whole.data() + (i * m.n + j) * lanes);
  return eliminated(std::move(whole), m.n, dropped, kept);
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
    for (std::size_t first = 0; first < members.size(); first += lanes) {
      const std::size_t count = std::min<std::size_t>(lanes, members.size() - first);
      Corners corners;
      for (std::size_t l = 0; l < lanes; ++l) corners[l] = rectangles[members[first + std::min(l, count - 1)]];
      const Rectangle shape{0, std::get<0>(kind), 0, std::get<1>(kind)};
      const LaneModel m = without_open_ends(lane_model(network, corners, shape), ports_of(network, corners.front()));
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
