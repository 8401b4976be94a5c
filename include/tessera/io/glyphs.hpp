#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "tessera/io/data_parameters.hpp"
#include "tessera/random/stream.hpp"

/// A data set that needs no file: 28x28 grey images of the ten digits, drawn as strokes with random distortion.
///
/// How image i is drawn (src/io/glyphs.cpp, docs/formats/data.md): the class's strokes, control points of quadratic
/// B-splines in the square [-1, 1]^2, are jittered, displaced by a smooth random field, rotated, sheared, scaled and
/// moved; each pixel takes its coverage from the distance to the nearest stroke; then blur, stray marks, brightness,
/// background and grain. Everything is computed from random words by float32 additions, multiplications, divisions and
/// square roots in a fixed order, so the bytes are equal on every machine. Only a change of `glyph_layout` may change
/// them.
namespace tessera::io {

inline constexpr std::uint32_t glyph_layout = 1;
inline constexpr std::int64_t glyph_size = 28;  ///< pixels along each side
inline constexpr std::int64_t glyph_pixels = glyph_size * glyph_size;
inline constexpr int glyph_classes = 10;

/// Draws images in any order from any thread.
class GlyphPainter {
 public:
  /// ConfigError where a parameter is out of range.
  explicit GlyphPainter(const GlyphParameters& parameters);

  /// The class 0 to 9 of image `index` >= 0. Each ten images from a multiple of ten on hold every class once.
  int label(std::int64_t index) const;

  /// Image `index`, row by row from the top, 0 = dark; `pixels` has glyph_pixels elements.
  void draw(std::int64_t index, std::span<std::uint8_t> pixels) const;

 private:
  GlyphParameters parameters_;
  random::Stream stream_;
};

}  // namespace tessera::io
