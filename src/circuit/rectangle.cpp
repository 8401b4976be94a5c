#include "circuit/rectangle.hpp"

#include <algorithm>

namespace tessera::circuit::detail {

Network::Network(const Cells& c, const Wires& wires)
    : cells(c),
      row_S(1.0 / wires.row_ohm),
      first_row_S(1.0 / wires.first_row_ohm()),
      column_S(1.0 / wires.column_ohm),
      last_column_S(1.0 / wires.last_column_ohm()),
      sets(c.sets()),
      inputs(c.inputs()),
      outputs(c.outputs()) {}

Ports ports_of(const Network& network, const Rectangle& r) {
  const std::int64_t lines = network.sets * r.rows();
  Ports ports{.sizes = {lines, r.col1 < network.outputs ? lines : 0, r.row0 > 0 ? r.cols() : 0, r.cols()}};
  ports.border = {r.cut_depth[index_of(Side::left)] < 0 ? ports.size(Side::left) : 0,
                  r.cut_depth[index_of(Side::bottom)] < 0 ? ports.size(Side::bottom) : 0};
  std::stable_sort(ports.order.begin(), ports.order.end(),
                   [&](Side a, Side b) { return r.cut_depth[index_of(a)] > r.cut_depth[index_of(b)]; });
  return ports;
}

Cut cut_of(const Network& network, const Rectangle& r, std::int64_t leaf) {
  const std::int64_t lines = network.sets * r.rows();
  if ((lines <= leaf || r.rows() == 1) && r.cols() <= leaf) return Cut::none;
  const bool columns = r.cols() > 1 && (r.cols() >= lines || r.rows() == 1);
  return columns ? Cut::columns : Cut::rows;
}

std::array<Rectangle, 2> parts_at(const Rectangle& r, Cut cut, std::int64_t at) {
  Rectangle a = r, b = r;
  a.depth = b.depth = r.depth + 1;
  const bool columns = cut == Cut::columns;
  a.cut_depth[index_of(columns ? Side::right : Side::bottom)] = r.depth;
  b.cut_depth[index_of(columns ? Side::left : Side::top)] = r.depth;
  if (columns)
    a.col1 = b.col0 = at;
  else
    a.row1 = b.row0 = at;
  return {a, b};
}

std::array<Rectangle, 2> parts(const Network& network, const Rectangle& r, Cut cut) {
  constexpr std::int64_t together = 8;
  const bool columns = cut == Cut::columns;
  const std::int64_t extent = columns ? r.cols() : r.rows();
  const std::int64_t step = columns ? together : std::max<std::int64_t>(1, together / network.sets);
  const std::int64_t start = columns ? r.col0 : r.row0;
  if (extent <= step) return parts_at(r, cut, start + extent / 2);
  std::int64_t eighths = 4;
  if (columns && r.col1 == network.outputs) eighths = 3;
  if (!columns && r.row0 == 0) eighths = 5;
  const std::int64_t at = (extent * eighths + 4 * step) / (8 * step) * step;
  return parts_at(r, cut, start + std::clamp(at, step, (extent - 1) / step * step));
}

Join join(const Ports& a, const Ports& b, Cut cut, const Ports& whole) {
  const Side of_a = cut == Cut::columns ? Side::right : Side::bottom;
  const Side of_b = cut == Cut::columns ? Side::left : Side::top;
  Join j;
  j.ports = {.order = whole.order, .border = whole.border};
  j.joined = a.size(of_a);
  j.joint = {a.at(of_a), b.at(of_b)};
  std::int64_t at = 0;
  const auto add = [&](int part, const Ports& ports, Side side) {
    const std::int64_t count = ports.size(side);
    j.ports.sizes[index_of(side)] += count;
    if (count == 0) return;
    j.segments[static_cast<std::size_t>(j.segment_count++)] = {
        .part = part, .from = ports.at(side), .to = at, .count = count};
    at += count;
  };
  for (const Side side : whole.order) {
    if (side != of_a) add(0, a, side);
    if (side != of_b) add(1, b, side);
  }
  return j;
}

}  // namespace tessera::circuit::detail
