#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "tessera/circuit/wires.hpp"
#include "tessera/kernels/dense_factor.hpp"

/// Private: how an array is cut, and how the ports of two neighbours become those of their union.
namespace tessera::circuit::detail {

enum class Side : std::uint8_t { left, right, top, bottom };
constexpr std::size_t index_of(Side side) {
  return static_cast<std::size_t>(side);
}

/// Cells of inputs [row0, row1) and outputs [col0, col1), the result of `depth` cuts.
struct Rectangle {
  std::int64_t row0 = 0, row1 = 0, col0 = 0, col1 = 0;
  int depth = 0;
  std::array<int, 4> cut_depth = {-1, -1, -1, -1};  ///< by side: depth of the merge that joins there; -1: border
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

/// Ports of a rectangle, side by side: ends of its input lines at the left and right (line after line, the sets of an
/// input side by side), of its output lines at top and bottom. Open ends of the array are no ports.
///
/// Sides stand in the order in which merges eliminate them, borders of the array last. So the joint of the next merge
/// comes first, the order of what remains is the same in the parts and in the union, and upper triangles suffice.
struct Ports {
  std::array<std::int64_t, 4> sizes = {};
  std::array<Side, 4> order = {Side::left, Side::right, Side::top, Side::bottom};
  /// How many of the last ports are at the array's left and its bottom. Admittances among those of one border are never
  /// asked for, only those between the two.
  std::array<std::int64_t, 2> border = {};
  std::int64_t size(Side side) const { return sizes[index_of(side)]; }
  std::int64_t count() const { return sizes[0] + sizes[1] + sizes[2] + sizes[3]; }
  std::int64_t at(Side side) const {
    std::int64_t sum = 0;
    for (const Side s : order) {
      if (s == side) break;
      sum += size(s);
    }
    return sum;
  }
};
Ports ports_of(const Network& network, const Rectangle& r);

enum class Cut {
  none,
  columns,  ///< a left and a right part, joined at the input lines
  rows      ///< a top and a bottom part, joined at the output lines
};

/// The longer side is cut until the rectangle has at most `leaf` input lines and output lines.
Cut cut_of(const Network& network, const Rectangle& r, std::int64_t leaf);
/// The parts of a rectangle cut before its line `at`.
std::array<Rectangle, 2> parts_at(const Rectangle& r, Cut cut, std::int64_t at);
/// In the middle, but for rectangles at an open end of the array: a part without ports there costs less to merge, so it
/// gets 5/8 (an eighth of all arithmetic). On multiples of eight lines, which vectors and leaves like.
std::array<Rectangle, 2> parts(const Network& network, const Rectangle& r, Cut cut);

/// Ports [from, from + count) of a part are ports [to, to + count) of the union.
using Segment = kernels::DiagonalPair::Piece;

/// Two parts joined: `joined` ports of the first from joint[0] are those of the second from joint[1].
struct Join {
  Ports ports;
  std::int64_t joined = 0;
  std::array<std::int64_t, 2> joint = {};
  std::array<Segment, 6> segments = {};
  int segment_count = 0;
};
/// Sides in the order of `whole`.
Join join(const Ports& a, const Ports& b, Cut cut, const Ports& whole);

}  // namespace tessera::circuit::detail
