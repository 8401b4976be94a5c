#include "tessera/h5/file.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "h5/detail.hpp"
#include "h5/heap_check.hpp"
#include "h5/steady_driver.hpp"
#include "tessera/core/atomic_file.hpp"

namespace tessera::h5 {
namespace {

/// Closing the file closes what was opened through it. Metadata stay in memory until a flush: a process killed between
/// two flushes leaves the file as of the last one.
Handle file_access(bool locked_by_caller, Format format, detail::WriteFailure& failure) {
  Handle access(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
  detail::use_steady_driver(access.id(), failure);
  // 1.10 marks a file as open for writing and refuses it afterwards if the mark was never taken off.
  const H5F_libver_t oldest = format == Format::checked ? H5F_LIBVER_V110 : H5F_LIBVER_V18;
  H5Pset_libver_bounds(access.id(), oldest, H5F_LIBVER_V110);
  if (locked_by_caller) H5Pset_file_locking(access.id(), false, true);
  H5AC_cache_config_t cache{};
  cache.version = H5AC__CURR_CACHE_CONFIG_VERSION;
  if (H5Pget_mdc_config(access.id(), &cache) >= 0) {
    cache.evictions_enabled = false;
    cache.incr_mode = H5C_incr__off;
    cache.flash_incr_mode = H5C_flash_incr__off;
    cache.decr_mode = H5C_decr__off;
    H5Pset_mdc_config(access.id(), &cache);
  }
  return access;
}

Handle create_file(const std::string& path, bool locked_by_caller, Format format, detail::WriteFailure& failure) {
  const Handle creation(H5Pcreate(H5P_FILE_CREATE));
  H5Pset_link_creation_order(creation.id(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
  H5Pset_obj_track_times(creation.id(), false);
  const Handle access = file_access(locked_by_caller, format, failure);
  Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.id(), access.id()));
  if (!file.valid()) {
    throw RunError(fmt::format("cannot create '{}' ({})", path, detail::hdf5_reason()));
  }
  return file;
}

void require_regular_file(const std::string& path) {
  struct stat status {};
  const int found = ::stat(path.c_str(), &status);
  require<InputError>(found == 0, "cannot open '{}' ({})", path, std::strerror(errno));
  require<InputError>(S_ISREG(status.st_mode), "cannot open '{}' (it is {})", path,
                      S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
}

}  // namespace

File::File(Handle file, const std::string& path, std::unique_ptr<detail::WriteFailure> failure)
    : failure_(std::move(failure)), file_(std::move(file)) {
  location_ = {path, "/"};
  handle_ = detail::reading(H5Gopen2(file_.id(), "/", H5P_DEFAULT), location_, "open");
}

File::File(File&&) noexcept = default;
File& File::operator=(File&& other) noexcept {
  Group::operator=(static_cast<Group&&>(other));
  file_ = std::move(other.file_);  // closes the old file before what it reports to is gone
  failure_ = std::move(other.failure_);
  return *this;
}
File::~File() = default;

File File::open(const std::string& path) {
  require_regular_file(path);
  require<InputError>(is_hdf5(path), "'{}' is not an HDF5 file", path);
  detail::check_heaps(path);
  const detail::QuietErrors quiet;
  const Handle access(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
  Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()));
  if (!file.valid()) {
    throw InputError(fmt::format("cannot open '{}' ({}); it is damaged, or another process is writing it", path,
                                 detail::hdf5_reason()));
  }
  return {std::move(file), path};
}

File File::create(const std::string& path) {
  const detail::QuietErrors quiet;
  auto failure = std::make_unique<detail::WriteFailure>();
  Handle file = create_file(path, false, Format::survives_kill, *failure);
  return {std::move(file), path, std::move(failure)};
}

File File::create(const AtomicFile& target, Format format) {
  const detail::QuietErrors quiet;
  auto failure = std::make_unique<detail::WriteFailure>();
  Handle file = create_file(target.partial_path(), true, format, *failure);
  return {std::move(file), target.partial_path(), std::move(failure)};
}

File File::open_image(const Image& image, const std::string& name) {
  require<InputError>(!image.empty(), "'{}' is empty", name);
  const detail::QuietErrors quiet;
  const Handle access(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
  H5Pset_fapl_core(access.id(), std::size_t{1} << 20, false);
  H5Pset_file_image(access.id(), const_cast<std::byte*>(image.data()), image.size());
  // HDF5 takes files in memory of one name for one file.
  const std::string unique = fmt::format("{} {}", name, access.id());
  Handle file(H5Fopen(unique.c_str(), H5F_ACC_RDONLY, access.id()));
  if (!file.valid()) throw InputError(fmt::format("cannot open '{}' in memory ({})", name, detail::hdf5_reason()));
  return {std::move(file), name};
}

File File::resume(const AtomicFile& target) {
  const std::string& path = target.partial_path();
  require<InputError>(is_hdf5(path), "cannot continue '{}' (it is not an HDF5 file)", path);
  const detail::QuietErrors quiet;
  auto failure = std::make_unique<detail::WriteFailure>();
  const Handle access = file_access(true, Format::survives_kill, *failure);
  Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.id()));
  if (!file.valid()) throw InputError(fmt::format("cannot continue '{}' ({})", path, detail::hdf5_reason()));
  return {std::move(file), path, std::move(failure)};
}

void File::flush() {
  const detail::QuietErrors quiet;
  detail::check_writing(H5Fflush(file_.id(), H5F_SCOPE_GLOBAL), location_, "flush");
  require_written();
}

void File::require_written() const {
  if (failure_) require<RunError>(failure_->reason.empty(), "cannot write '{}' ({})", file_name(), failure_->reason);
}

void File::close() {
  if (!is_open()) return;
  const detail::QuietErrors quiet;
  unsigned intent = H5F_ACC_RDONLY;
  H5Fget_intent(file_.id(), &intent);
  if (intent != H5F_ACC_RDONLY) flush();
  handle_.close();
  require<RunError>(file_.close(), "cannot close '{}' ({})", file_name(), detail::hdf5_reason());
  require_written();
}

/// A file of the system that has no name and lies in no folder. (HDF5 has files in memory of its own, but the images
/// that H5Fget_file_image() of 1.10 gives have wrong checksums.)
class NewFile::Memory {
 public:
  explicit Memory(const std::string& name) : descriptor_(::memfd_create(name.c_str(), MFD_CLOEXEC)) {
    require<RunError>(descriptor_ >= 0, "cannot keep '{}' in memory ({})", name, std::strerror(errno));
  }
  ~Memory() { ::close(descriptor_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::string path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }
  Image image() const {
    struct stat status {};
    ::fstat(descriptor_, &status);
    Image bytes(static_cast<std::size_t>(status.st_size));
    std::size_t filled = 0;
    while (filled < bytes.size()) {
      const ssize_t count =
          ::pread(descriptor_, bytes.data() + filled, bytes.size() - filled, static_cast<off_t>(filled));
      require<RunError>(count > 0, "a file in memory cannot be read ({})", std::strerror(errno));
      filled += static_cast<std::size_t>(count);
    }
    return bytes;
  }

 private:
  int descriptor_;
};

NewFile::NewFile(std::unique_ptr<Memory> memory, const std::string& name)
    : File(File::create(memory->path())), name_(name), memory_(std::move(memory)) {}

NewFile::NewFile(std::unique_ptr<AtomicFile> target, Format format)
    : File(File::create(*target, format)), name_(target->path()), target_(std::move(target)) {}

NewFile::NewFile(const std::string& path, Format format) : NewFile(std::make_unique<AtomicFile>(path), format) {}

NewFile NewFile::in_memory(const std::string& name) {
  return {std::make_unique<Memory>(name), name};
}

NewFile::NewFile(NewFile&&) noexcept = default;
NewFile::~NewFile() = default;

Image NewFile::commit() {
  close();
  if (memory_) return memory_->image();
  target_->commit();
  return {};
}

bool is_hdf5(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  require<InputError>(file.is_open(), "cannot open '{}' ({})", path, std::strerror(errno));
  constexpr std::string_view signature("\x89HDF\r\n\x1a\n", 8);
  for (std::streamoff offset = 0;; offset = offset == 0 ? 512 : offset * 2) {
    std::string bytes(signature.size(), '\0');
    file.seekg(offset);
    if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) return false;
    if (bytes == signature) return true;
  }
}

}  // namespace tessera::h5
