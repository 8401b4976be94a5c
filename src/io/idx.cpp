#include <algorithm>
#include <utility>

#include "io/array_file.hpp"

namespace tessera::io {

namespace {

constexpr std::size_t largest_rank = 8;

ElementType idx_type(const std::string& path, std::uint8_t code) {
  constexpr auto order = std::endian::big;
  switch (code) {
    case 0x08:
      return {ElementKind::unsigned_integer, 1, order};
    case 0x09:
      return {ElementKind::signed_integer, 1, order};
    case 0x0B:
      return {ElementKind::signed_integer, 2, order};
    case 0x0C:
      return {ElementKind::signed_integer, 4, order};
    case 0x0D:
      return {ElementKind::floating, 4, order};
    case 0x0E:
      return {ElementKind::floating, 8, order};
    default:
      throw InputError(
          fmt::format("{}: is not an IDX file: element type 0x{:02X} is none of 0x08, 0x09, 0x0B to 0x0E", path, code));
  }
}

}  // namespace

ArrayFile open_idx(const std::string& path) {
  ByteFile file(path);
  const std::vector<std::uint8_t> head = file.head(4 + 4 * largest_rank);
  require<InputError>(head.size() >= 4 && head[0] == 0 && head[1] == 0,
                      "{}: is not an IDX file (it does not begin with two zero bytes); check `format` and the path",
                      path);
  ArrayFile array;
  array.type = idx_type(path, head[2]);
  const std::size_t rank = head[3];
  require<InputError>(rank >= 1 && rank <= largest_rank, "{}: has rank {}; an IDX file of data has rank 1 to {}", path,
                      rank, largest_rank);
  array.offset = 4 + 4 * rank;
  require<InputError>(head.size() >= array.offset, "{}: is truncated inside its header; get the file again", path);
  for (std::size_t axis = 0; axis < rank; ++axis) {
    std::int64_t extent = 0;
    for (std::size_t byte = 0; byte < 4; ++byte) extent = extent * 256 + head[4 + 4 * axis + byte];
    array.shape.push_back(extent);
  }
  file.expect_size(checked_size(path, array.offset, array.shape, array.type.bytes),
                   fmt::format("{} of {}", to_string(array.shape), array.type.name()));
  array.file = std::make_shared<const ByteFile>(std::move(file));
  array.stride = static_cast<std::uint64_t>(array.sample_elements()) * static_cast<std::uint64_t>(array.type.bytes);
  return array;
}

}  // namespace tessera::io
