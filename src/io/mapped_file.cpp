#include "mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tessera/core/error.hpp"

namespace tessera::io {

MappedFile::MappedFile(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require<InputError>(descriptor >= 0, "{}: cannot be opened", path);
  struct stat status {};
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  void* mapped = MAP_FAILED;
  if (regular && status.st_size > 0)
    mapped = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0);
  ::close(descriptor);
  require<InputError>(regular, "{}: not a file", path);
  require<InputError>(mapped != MAP_FAILED || status.st_size == 0, "{}: cannot be read", path);
  if (status.st_size == 0) return;
  data_ = static_cast<const char*>(mapped);
  size_ = status.st_size;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), static_cast<std::size_t>(size_));
}

std::span<const char> MappedFile::bytes(std::int64_t offset, std::int64_t length) const {
  TESSERA_EXPECT(offset >= 0 && length >= 0 && offset <= size_ && length <= size_ - offset);
  return {data_ + offset, static_cast<std::size_t>(length)};
}

void MappedFile::release(std::span<const char> bytes) const {
  const auto page = static_cast<std::int64_t>(::sysconf(_SC_PAGESIZE));
  const std::int64_t begin = (bytes.data() - data_ + page - 1) / page * page;
  const std::int64_t end = (bytes.data() - data_ + static_cast<std::int64_t>(bytes.size())) / page * page;
  // A hint only: nothing is lost where it is not taken.
  if (end > begin)
    static_cast<void>(
        ::madvise(const_cast<char*>(data_) + begin, static_cast<std::size_t>(end - begin), MADV_DONTNEED));
}

}  // namespace tessera::io
