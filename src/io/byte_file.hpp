#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tessera::io {

/// The bytes of a file, plain or gzipped (told by its first two bytes, not by its name).
/// A plain file stays on disk. A gzipped one is unpacked into memory, never beyond the size that its own header
/// declares. Failures throw InputError with the path.
class ByteFile {
 public:
  explicit ByteFile(std::string path);
  ~ByteFile();
  ByteFile(ByteFile&& other) noexcept;
  ByteFile(const ByteFile&) = delete;
  ByteFile& operator=(const ByteFile&) = delete;
  ByteFile& operator=(ByteFile&&) = delete;

  const std::string& path() const { return path_; }
  bool compressed() const { return compressed_; }

  /// The first `count` bytes, or all there are when the file is shorter. Before expect_size or load only.
  std::vector<std::uint8_t> head(std::size_t count);

  /// Checks that the file holds exactly `size` bytes, and makes read() possible. `says` completes "the header says
  /// ...".
  void expect_size(std::uint64_t size, const std::string& says);

  /// Makes read() possible for a format without a size in its header. Returns the size.
  std::uint64_t load();

  /// Bytes [offset, offset + out.size()), which must lie inside the file. May be called from several threads.
  void read(std::uint64_t offset, std::span<std::uint8_t> out) const;

 private:
  std::vector<std::uint8_t> inflate(std::uint64_t at_most) const;
  void read_plain(std::uint64_t offset, std::span<std::uint8_t> out) const;

  std::string path_;
  int descriptor_ = -1;
  std::uint64_t file_size_ = 0;
  bool compressed_ = false;
  std::vector<std::uint8_t> unpacked_;
};

}  // namespace tessera::io
