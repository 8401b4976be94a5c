#include <utility>

#include "io/array_file.hpp"

namespace tessera::io {

Cifar10File open_cifar10(const std::string& path) {
  constexpr std::uint64_t record = 1 + 3 * 32 * 32;
  ByteFile file(path);
  const std::uint64_t size = file.load();
  require<InputError>(
      size > 0 && size % record == 0,
      "{}: holds {} bytes, which is no multiple of the {} of a CIFAR-10 record (1 label, 3x32x32 pixels); it "
      "is truncated or not a CIFAR-10 binary file",
      path, size, record);
  const auto shared = std::make_shared<const ByteFile>(std::move(file));
  const auto samples = static_cast<std::int64_t>(size / record);
  const ElementType byte{ElementKind::unsigned_integer, 1, std::endian::native};
  return {.images = {.file = shared, .type = byte, .shape = {samples, 3, 32, 32}, .offset = 1, .stride = record},
          .labels = {.file = shared, .type = byte, .shape = {samples}, .offset = 0, .stride = record}};
}

}  // namespace tessera::io
