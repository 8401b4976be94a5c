#pragma once
#include <array>
#include <cstdint>

#include "tessera/circuit/wires.hpp"

/// Private: how an array is cut, and how the ports of two neighbours become those of their union.
namespace tessera::circuit::detail {

/// Cells of inputs [row0, row1) and outputs [col0, col1).
struct Rectangle {
  std::int64_t row0 = 0, row1 = 0, col0 = 0, col1 = 0;
  std::int64_t rows() const { return row1 - row0; }
  std::int64_t cols() const { return col1 - col0; }
};

/// What lies in the wires' network: conductances of the segments and the number of input lines per input.
struct Network {
  Cells cells;
  double row_S = 0.0, first_row_S = 0.0, column_S = 0.0, last_column_S = 0.0;
  std::int64_t sets = 1;
  std::int64_t inputs = 0, outputs = 0;

  Network(const Cells& c, const Wires& wires);
  Rectangle whole() const { return {0, inputs, 0, outputs}; }
};

/// Ports of a rectangle in their order: left and right ends of its input lines (line after line, the sets of an input
/// side by side), top and bottom ends of its output lines. Open ends of the array are no ports.
struct Ports {
  std::int64_t left = 0, right = 0, top = 0, bottom = 0;
  std::int64_t count() const { return left + right + top + bottom; }
  std::int64_t right_at() const { return left; }
  std::int64_t top_at() const { return left + right; }
  std::int64_t bottom_at() const { return left + right + top; }
};
Ports ports_of(const Network& network, const Rectangle& r);

enum class Cut {
  none,
  columns,  ///< a left and a right part, joined at the input lines
  rows      ///< a top and a bottom part, joined at the output lines
};

/// The longer side is halved until the rectangle has at most `leaf` input lines and output lines.
Cut cut_of(const Network& network, const Rectangle& r, std::int64_t leaf);
std::array<Rectangle, 2> halves(const Rectangle& r, Cut cut);

/// Ports [from, from + count) of a part are ports [to, to + count) of the union.
struct Segment {
  int part = 0;
  std::int64_t from = 0, to = 0, count = 0;
};

/// Two parts joined: `joined` ports of the first from joint[0] are those of the second from joint[1].
struct Join {
  Ports ports;
  std::int64_t joined = 0;
  std::array<std::int64_t, 2> joint = {};
  std::array<Segment, 6> segments = {};
  int segment_count = 0;
};
Join join(const Ports& a, const Ports& b, Cut cut);

}  // namespace tessera::circuit::detail
