#pragma once
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/byte_file.hpp"
#include "tessera/core/tensor.hpp"

/// Arrays as they lie in files: what the parsers of IDX, CIFAR-10 and NumPy files have in common.
namespace tessera::io {

enum class ElementKind { unsigned_integer, signed_integer, floating };

struct ElementType {
  ElementKind kind = ElementKind::unsigned_integer;
  int bytes = 1;  ///< 1, 2, 4 or 8; 2, 4 or 8 for floating
  std::endian order = std::endian::native;

  bool is_integer() const { return kind != ElementKind::floating; }
  std::string name() const;  ///< "uint8", "float32", ...
};

/// out[i] = element i of `raw`, rounded to float32. raw.size() = out.size() * type.bytes.
void decode(ElementType type, std::span<const std::uint8_t> raw, std::span<float> out);
/// The same for integer types; a uint64 above 2^63 - 1 becomes 2^63 - 1.
void decode(ElementType type, std::span<const std::uint8_t> raw, std::span<std::int64_t> out);

/// An array [n, ...] whose sample i starts at byte offset + i * stride; in Fortran order the sample axis varies fastest
/// instead and stride is unused.
struct ArrayFile {
  std::shared_ptr<const ByteFile> file;
  ElementType type;
  Shape shape;
  std::uint64_t offset = 0;
  std::uint64_t stride = 0;
  bool fortran_order = false;

  std::int64_t samples() const { return shape.front(); }
  std::int64_t sample_elements() const;
  const std::string& path() const { return file->path(); }

  void read(std::int64_t first, std::int64_t count, std::span<float> out) const;
  void read(std::int64_t first, std::int64_t count, std::span<std::int64_t> out) const;
};

/// offset + elements * bytes, or InputError naming `path` where that, or the element count, is beyond 2^62.
std::uint64_t checked_size(const std::string& path, std::uint64_t offset, const Shape& shape, int bytes);

/// IDX: bytes 0 0 type rank, then `rank` extents and the data, all big-endian. InputError where it is anything else.
ArrayFile open_idx(const std::string& path);

/// NumPy .npy of format version 1 to 3, any byte order, C or Fortran order, of a plain numeric or boolean type.
ArrayFile open_npy(const std::string& path);

/// CIFAR-10 binary: records of one label byte and 3x32x32 pixel bytes.
struct Cifar10File {
  ArrayFile images;
  ArrayFile labels;
};
Cifar10File open_cifar10(const std::string& path);

}  // namespace tessera::io
