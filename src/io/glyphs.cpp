#include "tessera/io/glyphs.hpp"

#include <algorithm>
#include <cmath>

#include "io/glyph_shapes.hpp"
#include "io/sample_source.hpp"

// Only +, -, *, / and sqrt on float32, compiled without contraction: correctly rounded everywhere, in the order
// written.

namespace tessera::io {

namespace {

// Event and first element of each kind of draw within the stream of (seed, split).
constexpr std::uint32_t image_event = 0;
constexpr std::uint32_t label_event = 1;
constexpr std::uint64_t words_per_image = 1024;
constexpr std::uint64_t words_per_label_block = 16;

// What the words of one image are for.
enum Word : std::size_t {
  variant_word,
  rotation_word,
  shear_word,
  width_word,
  height_word,
  shift_x_word,
  shift_y_word,
  radius_word,
  taper_word,
  softness_word,
  blur_word,
  ink_word,
  paper_word,
  shade_x_word,
  shade_y_word,
  grain_word,
  mark_words = 16,     // 4 marks of 6 words
  elastic_words = 40,  // 5 x 5 vectors
  jitter_words = 96,   // 32 vectors
  pixel_words = 240,   // 28 x 28
};
constexpr std::size_t marks = 4;
constexpr std::size_t words_per_mark = 6;
static_assert(pixel_words + glyph_pixels == words_per_image);
static_assert(jitter_words + 2 * most_glyph_points <= pixel_words);

constexpr int size = static_cast<int>(glyph_size);
constexpr float center = 13.5F;
constexpr float pixels_per_unit = 9.6F;

using Words = std::array<std::uint32_t, words_per_image>;
using Field = std::array<float, static_cast<std::size_t>(glyph_pixels)>;

// Uniform on [-1, 1).
float flat(std::uint32_t word) {
  return static_cast<float>(static_cast<std::int32_t>(word) >> 8) * 0x1p-23F;
}

// Uniform on [0, 1).
float unit(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24F;
}

// The mean of four uniform bytes: bell-shaped on [-1, 1], standard deviation 0.29.
float bell(std::uint32_t word) {
  const std::uint32_t pairs = (word & 0x00FF00FFU) + ((word >> 8) & 0x00FF00FFU);
  const auto sum = static_cast<std::int32_t>((pairs & 0xFFFFU) + (pairs >> 16));
  return static_cast<float>(sum - 510) * (1.0F / 510.0F);
}

// Taylor polynomials, good to 1e-5 for |angle| <= 1.
float sine(float a) {
  return a * (1.0F - a * a * (1.0F / 6.0F - a * a * (1.0F / 120.0F - a * a * (1.0F / 5040.0F))));
}
float cosine(float a) {
  return 1.0F - a * a * (0.5F - a * a * (1.0F / 24.0F - a * a * (1.0F / 720.0F)));
}

// A smooth displacement: uniform quadratic B-spline over a grid of 5 x 5 vectors that covers [-1.2, 1.2]^2.
class ElasticField {
 public:
  ElasticField(const Words& words, float amplitude) {
    for (std::size_t i = 0; i < vectors_.size(); ++i) {
      vectors_[i] = {amplitude * bell(words[elastic_words + 2 * i]),
                     amplitude * bell(words[elastic_words + 2 * i + 1])};
    }
  }

  GlyphPoint displace(GlyphPoint p) const {
    const auto [column, wx] = weights(p.x);
    const auto [row, wy] = weights(p.y);
    GlyphPoint result = p;
    for (std::size_t j = 0; j < 3; ++j) {
      for (std::size_t i = 0; i < 3; ++i) {
        const float weight = wy[j] * wx[i];
        const GlyphPoint& v = vectors_[(row + j) * 5 + column + i];
        result.x += weight * v.x;
        result.y += weight * v.y;
      }
    }
    return result;
  }

 private:
  struct Basis {
    std::size_t first;
    std::array<float, 3> weight;
  };
  static Basis weights(float coordinate) {
    const float t = std::clamp((coordinate + 1.2F) * 1.25F, 0.0F, 2.999F);
    const auto cell = static_cast<std::size_t>(t);
    const float f = t - static_cast<float>(cell);
    return {cell, {0.5F * (1.0F - f) * (1.0F - f), 0.5F + f - f * f, 0.5F * f * f}};
  }
  std::array<GlyphPoint, 25> vectors_;
};

// x' = matrix * x + shift, into pixel coordinates.
struct Affine {
  float xx, xy, yx, yy, x0, y0;

  Affine(const Words& words, float strength) {
    const float angle = strength * 0.8F * bell(words[rotation_word]);
    const float shear = strength * 0.6F * bell(words[shear_word]);
    const float width = pixels_per_unit * (1.0F + strength * 0.45F * bell(words[width_word]));
    const float height = pixels_per_unit * (1.0F + strength * 0.35F * bell(words[height_word]));
    const float c = cosine(angle);
    const float s = sine(angle);
    xx = c * width;
    xy = c * width * shear - s * height;
    yx = s * width;
    yy = s * width * shear + c * height;
    x0 = center + strength * 6.5F * bell(words[shift_x_word]);
    y0 = center + strength * 5.5F * bell(words[shift_y_word]);
  }
  GlyphPoint apply(GlyphPoint p) const { return {xx * p.x + xy * p.y + x0, yx * p.x + yy * p.y + y0}; }
};

// For each pixel the distance to the edge of the nearest stroke: negative inside.
class StrokeCanvas {
 public:
  StrokeCanvas() { distance_.fill(far); }

  // A straight piece whose radius runs from ra to rb.
  void line(GlyphPoint a, GlyphPoint b, float ra, float rb) {
    const float reach = std::max(ra, rb) + 2.0F;
    const auto [x_begin, x_end] = pixels(std::min(a.x, b.x) - reach, std::max(a.x, b.x) + reach);
    const auto [y_begin, y_end] = pixels(std::min(a.y, b.y) - reach, std::max(a.y, b.y) + reach);
    const float dx = b.x - a.x;
    const float dy = b.y - a.y;
    const float inverse = 1.0F / (dx * dx + dy * dy + 1e-6F);
    for (int y = y_begin; y < y_end; ++y) {
      const float py = static_cast<float>(y) - a.y;
      float* row = distance_.data() + y * size;
      for (int x = x_begin; x < x_end; ++x) {
        const float px = static_cast<float>(x) - a.x;
        float t = (px * dx + py * dy) * inverse;
        t = t < 0.0F ? 0.0F : t;
        t = t > 1.0F ? 1.0F : t;
        const float ex = px - t * dx;
        const float ey = py - t * dy;
        const float d = std::sqrt(ex * ex + ey * ey) - (ra + t * (rb - ra));
        row[x] = d < row[x] ? d : row[x];
      }
    }
  }

  // Coverage 0 to 1 with an edge `softness` pixels wide.
  void cover(float softness, Field& out) const {
    const float inverse = 1.0F / softness;
    for (std::size_t i = 0; i < out.size(); ++i) {
      float c = 0.5F - distance_[i] * inverse;
      c = c < 0.0F ? 0.0F : c;
      out[i] = c > 1.0F ? 1.0F : c;
    }
  }

 private:
  static constexpr float far = 100.0F;
  static std::pair<int, int> pixels(float low, float high) {
    const float begin = std::clamp(low, 0.0F, static_cast<float>(size));
    const float end = std::clamp(high + 1.0F, 0.0F, static_cast<float>(size));
    return {static_cast<int>(begin), static_cast<int>(end)};
  }
  Field distance_;
};

struct Pen {
  float radius;  // in the middle
  float taper;   // relative change from the first to the last point of a stroke
};

void draw_stroke(StrokeCanvas& canvas, std::span<const GlyphPoint> p, const Pen& pen) {
  const auto radius_at = [&](float part) { return pen.radius * (1.0F + pen.taper * (part - 0.5F)); };
  if (p.size() == 2) return canvas.line(p[0], p[1], radius_at(0.0F), radius_at(1.0F));
  constexpr int pieces = 5;
  const std::size_t arcs = p.size() - 2;
  const float step = 1.0F / static_cast<float>(arcs * pieces);
  GlyphPoint from = p[0];
  float part = 0.0F;
  for (std::size_t arc = 0; arc < arcs; ++arc) {
    const GlyphPoint a =
        arc == 0 ? p[0] : GlyphPoint{0.5F * (p[arc].x + p[arc + 1].x), 0.5F * (p[arc].y + p[arc + 1].y)};
    const GlyphPoint b = p[arc + 1];
    const GlyphPoint c =
        arc + 1 == arcs ? p[arc + 2] : GlyphPoint{0.5F * (b.x + p[arc + 2].x), 0.5F * (b.y + p[arc + 2].y)};
    for (int piece = 1; piece <= pieces; ++piece) {
      const float t = static_cast<float>(piece) / static_cast<float>(pieces);
      const float u = 1.0F - t;
      const GlyphPoint to = {u * u * a.x + 2.0F * u * t * b.x + t * t * c.x,
                             u * u * a.y + 2.0F * u * t * b.y + t * t * c.y};
      canvas.line(from, to, radius_at(part), radius_at(part + step));
      from = to;
      part += step;
    }
  }
}

// Mixes in the 3 x 3 binomial average with weight `amount`.
void blur(Field& field, float amount) {
  Field smooth{};
  for (int y = 0; y < size; ++y) {
    const float* up = field.data() + std::max(y - 1, 0) * size;
    const float* row = field.data() + y * size;
    const float* down = field.data() + std::min(y + 1, size - 1) * size;
    std::array<float, static_cast<std::size_t>(size) + 2> sum;
    for (int x = 0; x < size; ++x) sum[static_cast<std::size_t>(x) + 1] = 0.25F * (up[x] + down[x]) + 0.5F * row[x];
    sum.front() = sum[1];
    sum.back() = sum[static_cast<std::size_t>(size)];
    for (std::size_t x = 0; x < static_cast<std::size_t>(size); ++x) {
      smooth[static_cast<std::size_t>(y * size) + x] = 0.25F * (sum[x] + sum[x + 2]) + 0.5F * sum[x + 1];
    }
  }
  for (std::size_t i = 0; i < field.size(); ++i) field[i] += amount * (smooth[i] - field[i]);
}

// Short strokes that do not belong to the glyph: some of ink, some of paper (gaps).
void draw_marks(const Words& words, float strength, float softness, Field& ink) {
  for (std::size_t mark = 0; mark < marks; ++mark) {
    const std::uint32_t* w = words.data() + mark_words + mark * words_per_mark;
    if (unit(w[0]) >= 0.5F * strength) continue;
    const GlyphPoint a = {center + 13.0F * flat(w[1]), center + 13.0F * flat(w[2])};
    const GlyphPoint b = {a.x + 5.0F * flat(w[3]), a.y + 5.0F * flat(w[4])};
    const float radius = 0.4F + 0.6F * unit(w[5]);
    StrokeCanvas canvas;
    canvas.line(a, b, radius, radius);
    Field cover;
    canvas.cover(softness, cover);
    if (mark % 2 == 0) {
      for (std::size_t i = 0; i < ink.size(); ++i) ink[i] = cover[i] > ink[i] ? cover[i] : ink[i];
    } else {
      for (std::size_t i = 0; i < ink.size(); ++i) ink[i] *= 1.0F - cover[i];
    }
  }
}

}  // namespace

GlyphPainter::GlyphPainter(const GlyphParameters& parameters) : parameters_(parameters) {
  DataParameters data;
  data.format = DataFormat::glyphs;
  data.glyphs = parameters;
  validate(data);
  const auto split = static_cast<std::uint32_t>(parameters.split == GlyphSplit::test ? 1 : 0);
  stream_ = random::Stream({.seed = parameters.seed, .layer = split}, random::Purpose::glyphs);
}

int GlyphPainter::label(std::int64_t index) const {
  TESSERA_EXPECT(index >= 0);
  std::array<std::uint32_t, glyph_classes> words;
  const auto block = static_cast<std::uint64_t>(index) / glyph_classes;
  random::fill_bits(stream_, label_event, block * words_per_label_block, words);
  std::array<int, glyph_classes> order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (std::size_t i = order.size() - 1; i > 0; --i) {
    const auto j = static_cast<std::size_t>((std::uint64_t{words[i]} * (i + 1)) >> 32);
    std::swap(order[i], order[j]);
  }
  return order[static_cast<std::size_t>(index % glyph_classes)];
}

void GlyphPainter::draw(std::int64_t index, std::span<std::uint8_t> pixels) const {
  TESSERA_EXPECT(index >= 0 && pixels.size() == static_cast<std::size_t>(glyph_pixels));
  const auto affine = static_cast<float>(parameters_.affine);
  const auto elastic = static_cast<float>(parameters_.elastic);
  const auto stroke = static_cast<float>(parameters_.stroke);
  const auto contrast = static_cast<float>(parameters_.contrast);
  const auto noise = static_cast<float>(parameters_.noise);
  Words words;
  random::fill_bits(stream_, image_event, static_cast<std::uint64_t>(index) * words_per_image, words);

  const auto shapes = glyph_shapes(label(index));
  const GlyphShape shape = shapes[static_cast<std::size_t>((std::uint64_t{words[variant_word]} * shapes.size()) >> 32)];
  const ElasticField field(words, 0.65F * elastic);
  const Affine place(words, affine);
  const Pen pen = {.radius = 1.25F + stroke * 0.9F * bell(words[radius_word]),
                   .taper = stroke * bell(words[taper_word])};
  const float softness = 1.3F + stroke * 0.5F * flat(words[softness_word]);

  StrokeCanvas canvas;
  std::array<GlyphPoint, most_glyph_points> points;
  std::size_t used = 0;
  for (const GlyphStroke& stroke_points : shape) {
    const std::span<GlyphPoint> placed(points.data() + used, stroke_points.size());
    for (std::size_t i = 0; i < placed.size(); ++i) {
      const std::uint32_t* w = words.data() + jitter_words + 2 * (used + i);
      const float amount = 0.24F * elastic;
      const GlyphPoint jittered = {stroke_points[i].x + amount * bell(w[0]), stroke_points[i].y + amount * bell(w[1])};
      placed[i] = place.apply(field.displace(jittered));
    }
    draw_stroke(canvas, placed, pen);
    used += placed.size();
  }
  Field ink;
  canvas.cover(softness, ink);
  draw_marks(words, noise, softness, ink);
  blur(ink, std::min(1.0F, stroke * unit(words[blur_word])));

  const float paper = contrast * 50.0F * unit(words[paper_word]);
  const float level = 225.0F - contrast * 115.0F * unit(words[ink_word]);
  const float shade_x = contrast * 1.2F * flat(words[shade_x_word]);
  const float shade_y = contrast * 1.2F * flat(words[shade_y_word]);
  const float grain = noise * (15.0F + 75.0F * unit(words[grain_word]));
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const std::size_t i = static_cast<std::size_t>(y) * static_cast<std::size_t>(size) + static_cast<std::size_t>(x);
      const float shade = shade_x * (static_cast<float>(x) - center) + shade_y * (static_cast<float>(y) - center);
      float value = paper + shade + ink[i] * (level - paper) + grain * bell(words[pixel_words + i]);
      value = value < 0.0F ? 0.0F : value;
      value = value > 255.0F ? 255.0F : value;
      pixels[i] =
          static_cast<std::uint8_t>(value + 0.5F);  // NOLINT(bugprone-incorrect-roundings): what defines the pixels
    }
  }
}

}  // namespace tessera::io
