#include "io/array_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace tessera::io {

namespace {

template <class Word>
Word load_word(const std::uint8_t* bytes, bool swap) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  if constexpr (sizeof(Word) == 2) return swap ? __builtin_bswap16(word) : word;
  if constexpr (sizeof(Word) == 4) return swap ? __builtin_bswap32(word) : word;
  if constexpr (sizeof(Word) == 8) return swap ? __builtin_bswap64(word) : word;
  return word;
}

// IEEE 754 binary16.
float half_to_float(std::uint16_t half) {
  const int exponent = (half >> 10) & 0x1F;
  const int fraction = half & 0x3FF;
  float magnitude = std::ldexp(static_cast<float>(fraction + (exponent == 0 ? 0 : 0x400)), std::max(exponent, 1) - 25);
  if (exponent == 0x1F) {
    magnitude = fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  }
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

template <class Word, class Value, class Out>
void decode_as(std::span<const std::uint8_t> raw, bool swap, std::span<Out> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Word word = load_word<Word>(raw.data() + i * sizeof(Word), swap);
    if constexpr (std::is_same_v<Out, std::int64_t> && std::is_same_v<Value, std::uint64_t>) {
      out[i] = static_cast<Out>(std::min<std::uint64_t>(word, std::numeric_limits<std::int64_t>::max()));
    } else {
      out[i] = static_cast<Out>(std::bit_cast<Value>(word));  // NOLINT(bugprone-signed-char-misuse): a number
    }
  }
}

template <class Out>
void decode_integers(ElementType type, std::span<const std::uint8_t> raw, bool swap, std::span<Out> out) {
  const bool with_sign = type.kind == ElementKind::signed_integer;
  switch (type.bytes) {
    case 1:
      return with_sign ? decode_as<std::uint8_t, std::int8_t>(raw, swap, out)
                       : decode_as<std::uint8_t, std::uint8_t>(raw, swap, out);
    case 2:
      return with_sign ? decode_as<std::uint16_t, std::int16_t>(raw, swap, out)
                       : decode_as<std::uint16_t, std::uint16_t>(raw, swap, out);
    case 4:
      return with_sign ? decode_as<std::uint32_t, std::int32_t>(raw, swap, out)
                       : decode_as<std::uint32_t, std::uint32_t>(raw, swap, out);
    default:
      return with_sign ? decode_as<std::uint64_t, std::int64_t>(raw, swap, out)
                       : decode_as<std::uint64_t, std::uint64_t>(raw, swap, out);
  }
}

template <class Out>
void read_elements(const ArrayFile& array, std::int64_t first, std::int64_t count, std::span<Out> out) {
  const auto bytes = static_cast<std::uint64_t>(array.type.bytes);
  const auto samples = static_cast<std::size_t>(count);
  const auto elements = static_cast<std::size_t>(array.sample_elements());
  const auto first_sample = static_cast<std::uint64_t>(first);
  TESSERA_EXPECT(first >= 0 && count >= 0 && first + count <= array.samples() && out.size() == samples * elements);
  if (array.fortran_order) {
    // Position p counts a sample's elements with the first axis fastest; out wants the last axis fastest.
    std::vector<std::uint8_t> raw(samples * bytes);
    std::vector<Out> column(samples);
    Shape index(array.shape.size() - 1, 0);
    for (std::uint64_t p = 0; p < elements; ++p) {
      array.file->read(array.offset + (p * static_cast<std::uint64_t>(array.samples()) + first_sample) * bytes, raw);
      decode(array.type, raw, std::span<Out>(column));
      std::size_t target = 0;
      for (std::size_t axis = 0; axis < index.size(); ++axis) {
        target = target * static_cast<std::size_t>(array.shape[axis + 1]) + static_cast<std::size_t>(index[axis]);
      }
      for (std::size_t s = 0; s < samples; ++s) out[s * elements + target] = column[s];
      for (std::size_t axis = 0; axis < index.size() && ++index[axis] == array.shape[axis + 1]; ++axis) index[axis] = 0;
    }
    return;
  }
  if (array.stride == elements * bytes) {
    std::vector<std::uint8_t> raw(samples * elements * bytes);
    array.file->read(array.offset + first_sample * array.stride, raw);
    return decode(array.type, raw, out);
  }
  // Records with something between the samples: read whole records, decode the part that is ours.
  constexpr std::size_t block = 1024;
  std::vector<std::uint8_t> raw;
  for (std::size_t begin = 0; begin < samples; begin += block) {
    const std::size_t n = std::min(block, samples - begin);
    raw.resize((n - 1) * array.stride + elements * bytes);
    array.file->read(array.offset + (first_sample + begin) * array.stride, raw);
    for (std::size_t s = 0; s < n; ++s) {
      decode(array.type, {raw.data() + s * array.stride, elements * bytes},
             out.subspan((begin + s) * elements, elements));
    }
  }
}

}  // namespace

std::string ElementType::name() const {
  const char* prefix = kind == ElementKind::floating ? "float" : kind == ElementKind::signed_integer ? "int" : "uint";
  return fmt::format("{}{}", prefix, 8 * bytes);
}

void decode(ElementType type, std::span<const std::uint8_t> raw, std::span<float> out) {
  TESSERA_EXPECT(raw.size() == out.size() * static_cast<std::size_t>(type.bytes));
  const bool swap = type.order != std::endian::native;
  if (type.is_integer()) return decode_integers(type, raw, swap, out);
  if (type.bytes == 8) return decode_as<std::uint64_t, double>(raw, swap, out);
  if (type.bytes == 4) return decode_as<std::uint32_t, float>(raw, swap, out);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = half_to_float(load_word<std::uint16_t>(raw.data() + 2 * i, swap));
  }
}

void decode(ElementType type, std::span<const std::uint8_t> raw, std::span<std::int64_t> out) {
  TESSERA_EXPECT(type.is_integer() && raw.size() == out.size() * static_cast<std::size_t>(type.bytes));
  decode_integers(type, raw, type.order != std::endian::native, out);
}

std::int64_t ArrayFile::sample_elements() const {
  return element_count(Shape(shape.begin() + 1, shape.end()));
}

void ArrayFile::read(std::int64_t first, std::int64_t count, std::span<float> out) const {
  read_elements(*this, first, count, out);
}

void ArrayFile::read(std::int64_t first, std::int64_t count, std::span<std::int64_t> out) const {
  read_elements(*this, first, count, out);
}

std::uint64_t checked_size(const std::string& path, std::uint64_t offset, const Shape& shape, int bytes) {
  require<InputError>(std::find(shape.begin(), shape.end(), 0) == shape.end(), "{}: is empty: its shape is {}", path,
                      to_string(shape));
  constexpr std::uint64_t limit = std::uint64_t{1} << 62;
  std::uint64_t size = static_cast<std::uint64_t>(bytes);
  bool fits = true;
  for (const std::int64_t extent : shape) {
    fits =
        fits && extent >= 0 && !__builtin_mul_overflow(size, static_cast<std::uint64_t>(extent), &size) && size < limit;
  }
  require<InputError>(fits, "{}: its header asks for {} elements, more than any file can hold; it is damaged", path,
                      to_string(shape));
  return offset + size;
}

}  // namespace tessera::io
