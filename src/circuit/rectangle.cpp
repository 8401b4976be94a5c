#include "circuit/rectangle.hpp"

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
  return {.left = lines,
          .right = r.col1 < network.outputs ? lines : 0,
          .top = r.row0 > 0 ? r.cols() : 0,
          .bottom = r.cols()};
}

Cut cut_of(const Network& network, const Rectangle& r, std::int64_t leaf) {
  const std::int64_t lines = network.sets * r.rows();
  if ((lines <= leaf || r.rows() == 1) && r.cols() <= leaf) return Cut::none;
  const bool columns = r.cols() > 1 && (r.cols() >= lines || r.rows() == 1);
  return columns ? Cut::columns : Cut::rows;
}

std::array<Rectangle, 2> halves(const Rectangle& r, Cut cut) {
  Rectangle a = r, b = r;
  if (cut == Cut::columns)
    a.col1 = b.col0 = (r.col0 + r.col1) / 2;
  else
    a.row1 = b.row0 = (r.row0 + r.row1) / 2;
  return {a, b};
}

Join join(const Ports& a, const Ports& b, Cut cut) {
  Join j;
  std::int64_t at = 0;
  const auto add = [&](int part, std::int64_t from, std::int64_t count) {
    if (count == 0) return;
    j.segments[static_cast<std::size_t>(j.segment_count++)] = {.part = part, .from = from, .to = at, .count = count};
    at += count;
  };
  if (cut == Cut::columns) {
    j.ports = {.left = a.left, .right = b.right, .top = a.top + b.top, .bottom = a.bottom + b.bottom};
    j.joined = a.right;
    j.joint = {a.right_at(), 0};
    add(0, 0, a.left);
    add(1, b.right_at(), b.right);
    add(0, a.top_at(), a.top);
    add(1, b.top_at(), b.top);
    add(0, a.bottom_at(), a.bottom);
    add(1, b.bottom_at(), b.bottom);
  } else {
    j.ports = {.left = a.left + b.left, .right = a.right + b.right, .top = a.top, .bottom = b.bottom};
    j.joined = a.bottom;
    j.joint = {a.bottom_at(), b.top_at()};
    add(0, 0, a.left);
    add(1, 0, b.left);
    add(0, a.right_at(), a.right);
    add(1, b.right_at(), b.right);
    add(0, a.top_at(), a.top);
    add(1, b.bottom_at(), b.bottom);
  }
  return j;
}

}  // namespace tessera::circuit::detail
