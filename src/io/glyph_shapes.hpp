#pragma once
#include <array>
#include <cstdint>
#include <span>

namespace tessera::io {

/// x to the right, y downwards; a glyph fills about [-0.65, 0.65] x [-0.95, 0.95].
struct GlyphPoint {
  float x = 0.0F;
  float y = 0.0F;
};

/// The control polygon of a chain of quadratic Bezier arcs that meet at the midpoints between inner points; the first
/// and the last point are on the stroke. Two points are a straight line.
using GlyphStroke = std::span<const GlyphPoint>;

/// One way to write a class.
using GlyphShape = std::span<const GlyphStroke>;

inline constexpr std::size_t most_glyph_points = 32;  ///< of all strokes of one shape together

/// All ways to write the digit `label`.
std::span<const GlyphShape> glyph_shapes(int label);

}  // namespace tessera::io
