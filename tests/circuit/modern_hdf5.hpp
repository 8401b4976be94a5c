#pragma once
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

/// crossbar.h5 was written by HDF5 2.0, which numbers the layout of compressed datasets 5 where HDF5 1.10 of the
/// distribution knows 4, and the type of booleans 5 where it knows 3. For datasets of a single chunk and for
/// enumerations the fields are the same, so a copy with the older numbers, and the checksums that go with them, can be
/// read.
namespace tessera::circuit::testing {

/// The checksum of HDF5's metadata: lookup3 (Bob Jenkins, 2006, public domain), hashlittle() with seed 0.
inline std::uint32_t metadata_checksum(const std::uint8_t* bytes, std::size_t length) {
  const auto rotated = [](std::uint32_t v, int k) { return (v << k) | (v >> (32 - k)); };
  std::uint32_t a = 0xdeadbeefU + static_cast<std::uint32_t>(length), b = a, c = a;
  const auto word = [&](std::size_t at) {
    std::uint32_t v = 0;
    for (std::size_t i = 0; i < 4 && at + i < length; ++i) v |= std::uint32_t{bytes[at + i]} << (8 * i);
    return v;
  };
  std::size_t at = 0;
  for (; length - at > 12; at += 12) {
    a += word(at);
    b += word(at + 4);
    c += word(at + 8);
    a -= c, a ^= rotated(c, 4), c += b;
    b -= a, b ^= rotated(a, 6), a += c;
    c -= b, c ^= rotated(b, 8), b += a;
    a -= c, a ^= rotated(c, 16), c += b;
    b -= a, b ^= rotated(a, 19), a += c;
    c -= b, c ^= rotated(b, 4), b += a;
  }
  if (at == length) return c;
  a += word(at);
  b += word(at + 4);
  c += word(at + 8);
  c ^= b, c -= rotated(b, 14);
  a ^= c, a -= rotated(c, 11);
  b ^= a, b -= rotated(a, 25);
  c ^= b, c -= rotated(b, 16);
  a ^= c, a -= rotated(c, 4);
  b ^= a, b -= rotated(a, 14);
  c ^= b, c -= rotated(b, 24);
  return c;
}

inline std::uint64_t little_endian(const std::uint8_t* bytes, std::size_t width) {
  std::uint64_t v = 0;
  for (std::size_t i = 0; i < width; ++i) v |= std::uint64_t{bytes[i]} << (8 * i);
  return v;
}

inline void store_checksum(std::vector<std::uint8_t>& file, std::size_t begin, std::size_t end) {
  const std::uint32_t sum = metadata_checksum(file.data() + begin, end - begin);
  for (std::size_t i = 0; i < 4; ++i) file[end + i] = static_cast<std::uint8_t>(sum >> (8 * i));
}

/// Older numbers in the messages [cursor, end) of an object header and in the blocks that continue it.
inline bool renumber_messages(std::vector<std::uint8_t>& file, std::size_t cursor, std::size_t end,
                              std::size_t prefix) {
  constexpr std::uint8_t layout = 8, attribute = 12, continuation = 16;
  bool changed = false;
  while (cursor + prefix <= end) {
    const std::size_t length = little_endian(file.data() + cursor + 1, 2);
    std::uint8_t* message = file.data() + cursor + prefix;
    if (file[cursor] == layout && length > 3 && message[0] == 5 && message[1] == 2 && message[2] == 2) {
      message[0] = 4;
      changed = true;
    }
    if (file[cursor] == attribute && length > 9 && message[0] == 3) {
      std::uint8_t* type = message + 9 + little_endian(message + 2, 2);
      if (*type == 0x58) {  // version 5, enumeration; its base type follows eight bytes later
        *type = 0x38;
        if (type[8] >> 4 == 5) type[8] = static_cast<std::uint8_t>(0x30 | (type[8] & 15));
        changed = true;
      }
    }
    if (file[cursor] == continuation && length >= 16) {
      const std::size_t block = little_endian(message, 8), size = little_endian(message + 8, 8);
      const bool inside = size > 8 && block < file.size() && size <= file.size() - block;
      if (inside && std::memcmp(file.data() + block, "OCHK", 4) == 0 &&
          renumber_messages(file, block + 4, block + size - 4, prefix))
        store_checksum(file, block, block + size - 4);
    }
    cursor += prefix + length;
  }
  return changed;
}

/// In every object header of version 2.
inline void renumber(std::vector<std::uint8_t>& file) {
  for (std::size_t at = 0; at + 16 < file.size(); ++at) {
    if (std::memcmp(file.data() + at, "OHDR\x02", 5) != 0) continue;
    const unsigned flags = file[at + 5];
    std::size_t cursor = at + 6 + ((flags & 0x20U) != 0 ? 16 : 0) + ((flags & 0x10U) != 0 ? 4 : 0);
    const std::size_t width = std::size_t{1} << (flags & 3U);
    const std::size_t size = little_endian(file.data() + cursor, width);
    cursor += width;
    if (size > file.size() - cursor || cursor + size + 4 > file.size()) continue;
    const std::size_t end = cursor + size;
    if (renumber_messages(file, cursor, end, (flags & 0x04U) != 0 ? 6 : 4)) store_checksum(file, at, end);
  }
}

/// A readable copy of a file, removed with the object.
class ReadableCopy {
 public:
  explicit ReadableCopy(const std::string& path)
      : path_((std::filesystem::temp_directory_path() / ("tessera_golden_" + std::to_string(::getpid()) + ".h5"))
                  .string()) {
    std::ifstream in(path, std::ios::binary);
    std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    renumber(bytes);
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  ReadableCopy(const ReadableCopy&) = delete;
  ReadableCopy& operator=(const ReadableCopy&) = delete;
  ~ReadableCopy() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace tessera::circuit::testing
