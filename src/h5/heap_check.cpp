#include "h5/heap_check.hpp"

#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera::h5::detail {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view heap_signature = "GCOL\1\0\0\0"sv;
constexpr std::size_t header_size = 16;
constexpr std::size_t smallest_heap = 4096;

template <class T>
T little_endian(const char* bytes) {
  T value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) value = static_cast<T>((value << 8) | static_cast<unsigned char>(bytes[i]));
  return value;
}

/// Sizes of the objects of a heap by index; nothing if the heap is damaged. `bytes` begin at the heap.
std::optional<std::map<std::uint32_t, std::uint64_t>> read_heap(std::string_view bytes) {
  if (bytes.size() < header_size || !bytes.starts_with(heap_signature)) return std::nullopt;
  const auto size = little_endian<std::uint64_t>(bytes.data() + 8);
  if (size < smallest_heap || size > bytes.size()) return std::nullopt;
  std::map<std::uint32_t, std::uint64_t> objects;
  for (std::uint64_t at = header_size; at + header_size <= size;) {
    const auto index = little_endian<std::uint16_t>(bytes.data() + at);
    const auto length = little_endian<std::uint64_t>(bytes.data() + at + 8);
    if (length > size) return std::nullopt;
    const std::uint64_t step = index == 0 ? length : header_size + (length + 7) / 8 * 8;
    if (step < header_size || step > size - at) return std::nullopt;
    if (index != 0) objects[index] = length;
    at += step;
  }
  return objects;
}

std::string read_range(std::ifstream& stream, std::uint64_t offset, std::uint64_t size) {
  std::string bytes(size, '\0');
  stream.clear();
  stream.seekg(static_cast<std::streamoff>(offset));
  stream.read(bytes.data(), static_cast<std::streamsize>(size));
  bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, stream.gcount())));
  return bytes;
}

std::uint64_t file_size(std::ifstream& stream) {
  stream.clear();
  stream.seekg(0, std::ios::end);
  return static_cast<std::uint64_t>(std::max<std::streamoff>(0, stream.tellg()));
}

}  // namespace

void check_heaps(const std::string& file) {
  constexpr std::uint64_t limit = std::uint64_t{64} << 20;
  std::ifstream stream(file, std::ios::binary);
  const std::uint64_t size = file_size(stream);
  if (size > limit) return;
  const std::string bytes = read_range(stream, 0, size);
  const std::string_view view(bytes);
  for (std::size_t at = view.find(heap_signature); at != std::string_view::npos;
       at = view.find(heap_signature, at + 1)) {
    require<InputError>(read_heap(view.substr(at)).has_value(), "'{}' is damaged (the text heap at byte {})", file, at);
  }
}

void check_text_references(const Location& where, std::uint64_t offset, std::uint64_t count) {
  constexpr std::uint64_t reference_size = 16;  // length (4), address of the heap (8), index (4)
  constexpr std::uint64_t largest_heap = std::uint64_t{1} << 31;
  std::ifstream stream(where.file, std::ios::binary);
  const std::uint64_t size = file_size(stream);
  const auto check = [&](bool condition) {
    require<InputError>(condition, "{} in '{}' is damaged (its text lies outside the file's text heaps)", where.path,
                        where.file);
  };
  check(offset <= size && count <= (size - offset) / reference_size);
  const std::string references = read_range(stream, offset, count * reference_size);
  std::map<std::uint64_t, std::map<std::uint32_t, std::uint64_t>> heaps;
  for (std::uint64_t i = 0; i < count; ++i) {
    const char* reference = references.data() + i * reference_size;
    const auto length = little_endian<std::uint32_t>(reference);
    const auto address = little_endian<std::uint64_t>(reference + 4);
    const auto index = little_endian<std::uint32_t>(reference + 12);
    if (address == 0) continue;  // a null pointer
    if (!heaps.contains(address)) {
      check(address <= size && size - address >= header_size);
      const auto heap_size = little_endian<std::uint64_t>(read_range(stream, address, header_size).data() + 8);
      check(heap_size <= size - address && heap_size <= largest_heap);
      auto objects = read_heap(read_range(stream, address, heap_size));
      check(objects.has_value());
      heaps[address] = std::move(*objects);
    }
    const auto object = heaps[address].find(index);
    check(object != heaps[address].end() && length <= object->second);
  }
}

}  // namespace tessera::h5::detail
