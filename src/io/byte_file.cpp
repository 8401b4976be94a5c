#include "io/byte_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "tessera/core/error.hpp"

namespace tessera::io {

namespace {

// Deflate cannot pack better than 258 bytes into two bits.
constexpr std::uint64_t largest_deflate_ratio = 1032;
constexpr std::size_t chunk_bytes = std::size_t{1} << 18;

std::string system_error() {
  return std::strerror(errno);
}  // NOLINT(concurrency-mt-unsafe)

struct InflateEnd {
  void operator()(z_stream* stream) const {
    inflateEnd(stream);
    delete stream;
  }
};

}  // namespace

ByteFile::ByteFile(std::string path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  require<InputError>(descriptor_ >= 0, "{}: cannot be opened ({}); check the path and its permissions", path_,
                      system_error());
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    descriptor_ = -1;
    throw InputError(fmt::format("{}: is not a regular file; give the path of a data file", path_));
  }
  file_size_ = static_cast<std::uint64_t>(status.st_size);
  try {
    std::uint8_t magic[2] = {0, 0};
    if (file_size_ >= 2) read_plain(0, magic);
    compressed_ = magic[0] == 0x1F && magic[1] == 0x8B;
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ByteFile::ByteFile(ByteFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      file_size_(other.file_size_),
      compressed_(other.compressed_),
      unpacked_(std::move(other.unpacked_)) {}

ByteFile::~ByteFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::vector<std::uint8_t> ByteFile::head(std::size_t count) {
  if (compressed_) return inflate(count);
  std::vector<std::uint8_t> result(static_cast<std::size_t>(std::min<std::uint64_t>(count, file_size_)));
  read_plain(0, result);
  return result;
}

void ByteFile::expect_size(std::uint64_t size, const std::string& says) {
  std::uint64_t found = file_size_;
  if (compressed_) {
    require<InputError>(
        size / largest_deflate_ratio <= file_size_,
        "{}: is damaged or truncated: the header says {}, {} bytes, which a gzip file of {} bytes cannot "
        "hold; get the file again",
        path_, says, size, file_size_);
    unpacked_ = inflate(size + 1);
    found = unpacked_.size();
  }
  require<InputError>(found >= size,
                      "{}: is truncated: the header says {}, {} bytes, but there are {}; get the file again", path_,
                      says, size, found);
  require<InputError>(
      found <= size,
      "{}: has bytes behind its data: the header says {}, {} bytes, but there are {}; it is damaged or not "
      "of this format",
      path_, says, size, compressed_ ? "more" : fmt::format("{}", found));
}

std::uint64_t ByteFile::load() {
  if (!compressed_) return file_size_;
  unpacked_ = inflate(file_size_ * largest_deflate_ratio);
  return unpacked_.size();
}

void ByteFile::read(std::uint64_t offset, std::span<std::uint8_t> out) const {
  if (!compressed_) return read_plain(offset, out);
  TESSERA_EXPECT(offset + out.size() <= unpacked_.size());
  std::copy_n(unpacked_.data() + offset, out.size(), out.data());
}

void ByteFile::read_plain(std::uint64_t offset, std::span<std::uint8_t> out) const {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    require<InputError>(got >= 0, "{}: cannot be read ({})", path_, system_error());
    require<InputError>(got > 0, "{}: became shorter while it was read; do not write a data file that is in use",
                        path_);
    done += static_cast<std::size_t>(got);
  }
}

std::vector<std::uint8_t> ByteFile::inflate(std::uint64_t at_most) const {
  std::unique_ptr<z_stream, InflateEnd> stream(new z_stream{});
  require<RunError>(inflateInit2(stream.get(), 15 + 16) == Z_OK, "{}: zlib cannot be started", path_);
  std::vector<std::uint8_t> result;
  std::vector<std::uint8_t> packed(chunk_bytes);
  std::uint64_t position = 0;
  int status = Z_OK;
  while (result.size() < at_most) {
    if (stream->avail_in == 0 && position < file_size_) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(packed.size(), file_size_ - position));
      read_plain(position, {packed.data(), count});
      position += count;
      stream->next_in = packed.data();
      stream->avail_in = static_cast<uInt>(count);
    }
    if (status == Z_STREAM_END) {  // a gzip file may hold several members
      if (stream->avail_in == 0) return result;
      inflateReset(stream.get());
    }
    const std::size_t filled = result.size();
    const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_bytes, at_most - filled));
    result.resize(filled + room);
    stream->next_out = result.data() + filled;
    stream->avail_out = static_cast<uInt>(room);
    status = ::inflate(stream.get(), Z_NO_FLUSH);
    result.erase(result.end() - static_cast<std::ptrdiff_t>(stream->avail_out), result.end());
    if (status == Z_STREAM_END) continue;
    require<InputError>(status == Z_OK || status == Z_BUF_ERROR,
                        "{}: is not a sound gzip file ({}); get the file again", path_,
                        stream->msg != nullptr ? stream->msg : "bad data");
    require<InputError>(stream->avail_in > 0 || position < file_size_ || stream->avail_out == 0,
                        "{}: the gzip file ends too early; it is truncated, get the file again", path_);
  }
  return result;
}

}  // namespace tessera::io
