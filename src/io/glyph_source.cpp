#include <algorithm>
#include <mutex>

#include "io/sample_source.hpp"
#include "tessera/core/error.hpp"
#include "tessera/io/glyphs.hpp"

namespace tessera::io {

namespace {

// Images are drawn when first read, a block at a time. They are kept up to a total of 64 MB (a run reads its data once
// for every simulated chip and time), beyond that drawn anew.
class GlyphSource : public SampleSource {
 public:
  explicit GlyphSource(const GlyphParameters& parameters) : painter_(parameters), size_(parameters.count) {
    if (size_ * glyph_pixels <= most_kept_bytes) {
      kept_ = std::vector<Block>(static_cast<std::size_t>((size_ + block_images - 1) / block_images));
    }
  }

  std::int64_t size() const override { return size_; }
  Shape sample_shape() const override { return {1, glyph_size, glyph_size}; }
  std::string element_type() const override { return "uint8"; }
  bool is_floating() const override { return false; }

  void read(std::int64_t first, std::int64_t count, std::span<float> out, Parallel parallel) const override {
    const std::int64_t first_block = first / block_images;
    const std::int64_t end_block = (first + count + block_images - 1) / block_images;
    parallel_for(parallel, end_block - first_block, [&](std::int64_t i) {
      const std::int64_t block = first_block + i;
      const std::int64_t begin = std::max(first, block * block_images);
      const std::int64_t end = std::min(first + count, (block + 1) * block_images);
      copy(block, begin, end, out.data() + (begin - first) * glyph_pixels);
    });
  }

  std::vector<std::int64_t> read_integers(std::int64_t /*first*/, std::int64_t /*count*/) const override { return {}; }

 private:
  static constexpr std::int64_t block_images = 64;
  static constexpr std::int64_t most_kept_bytes = std::int64_t{64} << 20;
  struct Block {
    std::once_flag drawn;
    std::vector<std::uint8_t> pixels;
  };

  void copy(std::int64_t block, std::int64_t begin, std::int64_t end, float* out) const {
    if (kept_.empty()) {
      std::array<std::uint8_t, static_cast<std::size_t>(glyph_pixels)> pixels;
      for (std::int64_t i = begin; i < end; ++i, out += glyph_pixels) {
        painter_.draw(i, pixels);
        std::copy(pixels.begin(), pixels.end(), out);
      }
      return;
    }
    Block& kept = kept_[static_cast<std::size_t>(block)];
    const std::int64_t from = block * block_images;
    std::call_once(kept.drawn, [&] {
      const std::int64_t images = std::min(block_images, size_ - from);
      kept.pixels.resize(static_cast<std::size_t>(images * glyph_pixels));
      for (std::int64_t i = 0; i < images; ++i) {
        painter_.draw(from + i,
                      std::span(kept.pixels)
                          .subspan(static_cast<std::size_t>(i * glyph_pixels), static_cast<std::size_t>(glyph_pixels)));
      }
    });
    std::copy_n(kept.pixels.data() + (begin - from) * glyph_pixels, (end - begin) * glyph_pixels, out);
  }

  GlyphPainter painter_;
  std::int64_t size_;
  mutable std::vector<Block> kept_;  // each filled once, under its flag
};

class GlyphLabels : public SampleSource {
 public:
  explicit GlyphLabels(const GlyphParameters& parameters) : painter_(parameters), size_(parameters.count) {}

  std::int64_t size() const override { return size_; }
  Shape sample_shape() const override { return {}; }
  std::string element_type() const override { return "uint8"; }
  bool is_floating() const override { return false; }
  void read(std::int64_t first, std::int64_t count, std::span<float> out, Parallel /*parallel*/) const override {
    for (std::int64_t i = 0; i < count; ++i) {
      out[static_cast<std::size_t>(i)] = static_cast<float>(painter_.label(first + i));
    }
  }
  std::vector<std::int64_t> read_integers(std::int64_t first, std::int64_t count) const override {
    std::vector<std::int64_t> labels;
    labels.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = first; i < first + count; ++i) labels.push_back(painter_.label(i));
    return labels;
  }

 private:
  GlyphPainter painter_;
  std::int64_t size_;
};

}  // namespace

RawData open_glyph_data(const DataParameters& parameters) {
  const char* split = parameters.glyphs.split == GlyphSplit::test ? "test" : "train";
  const std::string name = fmt::format("glyphs (seed {}, {})", parameters.glyphs.seed, split);
  return {.name = name,
          .label_name = name,
          .inputs = std::make_shared<const GlyphSource>(parameters.glyphs),
          .labels = std::make_shared<const GlyphLabels>(parameters.glyphs)};
}

}  // namespace tessera::io
