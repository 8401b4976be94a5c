#pragma once
#include <cstdint>
#include <span>
#include <string>

/// Files as memory: pages are read when they are touched, and can be given back.
namespace tessera::io {

class MappedFile {
 public:
  /// InputError (with the path) if there is no such regular file or it cannot be read.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// A file that is worth being read where it lies; smaller ones are better copied, for their owners write over them.
  static constexpr std::int64_t large = std::int64_t{64} << 20;

  std::int64_t size() const { return size_; }
  /// Bytes [offset, offset + length), which must lie inside the file.
  std::span<const char> bytes(std::int64_t offset, std::int64_t length) const;
  /// These bytes will not be needed again soon; the pages that hold nothing else are dropped.
  void release(std::span<const char> bytes) const;

 private:
  const char* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace tessera::io
