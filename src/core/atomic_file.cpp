#include "tessera/core/atomic_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "tessera/core/error.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::string follow_links(std::string path) {
  std::error_code error;
  for (int links = 0; links < 40 && fs::is_symlink(path, error); ++links) {
    const fs::path target = fs::read_symlink(path, error);
    if (error) break;
    path = (fs::path(path).parent_path() / target).string();  // an absolute target replaces the whole path
  }
  return path;
}

void require_replaceable(const std::string& path) {
  require<RunError>(!path.empty() && path.back() != '/', "cannot write '{}' (no file name)", path);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return;
  require<RunError>(fs::is_regular_file(status), "cannot write '{}' (it is {})", path,
                    fs::is_directory(status) ? "a directory" : "not a regular file");
}

/// Does the name still lead to the open file? Not if another process renamed or removed it between open and lock.
bool names_descriptor(const std::string& path, int descriptor) {
  struct stat by_name {};
  struct stat by_descriptor {};
  return ::stat(path.c_str(), &by_name) == 0 && ::fstat(descriptor, &by_descriptor) == 0 &&
         by_name.st_ino == by_descriptor.st_ino && by_name.st_dev == by_descriptor.st_dev;
}

int open_locked(const std::string& path, const std::string& partial) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int descriptor = ::open(partial.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    require<RunError>(descriptor >= 0, "cannot write '{}' (cannot create '{}': {})", path, partial,
                      std::strerror(errno));
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(descriptor);
      throw RunError(fmt::format("cannot write '{}' (another process is writing it: '{}' is locked)", path, partial));
    }
    if (names_descriptor(partial, descriptor)) return descriptor;
    ::close(descriptor);
  }
  throw RunError(fmt::format("cannot write '{}' ('{}' is replaced by others again and again)", path, partial));
}

}  // namespace

std::string partial_path(const std::string& path) {
  return follow_links(path) + ".partial";
}

AtomicFile::AtomicFile(const std::string& path, Start start)
    : path_(follow_links(path)), partial_(tessera::partial_path(path)) {
  require_replaceable(path_);
  descriptor_ = open_locked(path_, partial_);
  if (start == Start::fresh && ::ftruncate(descriptor_, 0) != 0) {
    const std::string reason = std::strerror(errno);
    discard();
    throw RunError(fmt::format("cannot write '{}' (cannot empty '{}': {})", path_, partial_, reason));
  }
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      keep_(other.keep_) {}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::discard() noexcept {
  if (descriptor_ < 0) return;
  if (!keep_) ::unlink(partial_.c_str());
  ::close(std::exchange(descriptor_, -1));
}

void AtomicFile::commit() {
  require<RunError>(descriptor_ >= 0, "'{}' was committed already", path_);
  const auto check = [&](int status, const char* what) {
    require<RunError>(status == 0, "cannot write '{}' ({} failed: {})", path_, what, std::strerror(errno));
  };
  check(::fsync(descriptor_), "flushing to the disk");
  check(::rename(partial_.c_str(), path_.c_str()), "renaming");
  ::close(std::exchange(descriptor_, -1));
  // The rename itself reaches the disk with the directory; not every file system can be asked for that.
  const std::string directory = fs::path(path_).parent_path().string();
  const int opened = ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened >= 0) {
    ::fsync(opened);
    ::close(opened);
  }
}

void AtomicFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    require<RunError>(written >= 0, "cannot write '{}' ({})", path_, std::strerror(errno));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void write_file(const std::string& path, std::string_view contents) {
  AtomicFile target(path);
  target.write(contents);
  target.commit();
}

}  // namespace tessera
