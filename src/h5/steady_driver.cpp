#include "h5/steady_driver.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace tessera::h5::detail {
namespace {

/// libhdf5 keeps the part in front, we keep the rest.
struct SteadyFile {
  H5FD_t common;
  WriteFailure* failure;
  int descriptor;
  haddr_t allocated;  // end of what libhdf5 uses
  haddr_t written;    // end of what it has written, on the disk or not
  dev_t device;
  ino_t inode;
};

SteadyFile& ours(H5FD_t* file) {
  return *reinterpret_cast<SteadyFile*>(file);
}
const SteadyFile& ours(const H5FD_t* file) {
  return *reinterpret_cast<const SteadyFile*>(file);
}

void note_failure(SteadyFile& file) {
  if (file.failure->reason.empty()) file.failure->reason = std::strerror(errno);
}

H5FD_t* open_file(const char* name, unsigned flags, hid_t access, haddr_t) {
  const bool writes = (flags & H5F_ACC_RDWR) != 0;
  int mode = writes ? O_RDWR : O_RDONLY;
  if ((flags & H5F_ACC_TRUNC) != 0) mode |= O_TRUNC;
  if ((flags & H5F_ACC_CREAT) != 0) mode |= O_CREAT;
  if ((flags & H5F_ACC_EXCL) != 0) mode |= O_EXCL;
  const int descriptor = ::open(name, mode | O_CLOEXEC, 0666);
  if (descriptor < 0) return nullptr;
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    ::close(descriptor);
    return nullptr;
  }
  auto* file = new SteadyFile{};
  file->failure = *static_cast<WriteFailure* const*>(H5Pget_driver_info(access));
  file->descriptor = descriptor;
  file->written = static_cast<haddr_t>(status.st_size);
  file->device = status.st_dev;
  file->inode = status.st_ino;
  return &file->common;
}

herr_t close_file(H5FD_t* file) {
  if (::close(ours(file).descriptor) != 0) note_failure(ours(file));
  delete &ours(file);
  return 0;
}

int compare_files(const H5FD_t* a, const H5FD_t* b) {
  const auto key = [](const SteadyFile& file) { return std::pair(file.device, file.inode); };
  return key(ours(a)) < key(ours(b)) ? -1 : key(ours(b)) < key(ours(a)) ? 1 : 0;
}

herr_t query(const H5FD_t*, unsigned long* features) {
  *features = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
              H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t end_of_allocated(const H5FD_t* file, H5FD_mem_t) {
  return ours(file).allocated;
}
herr_t set_end_of_allocated(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  ours(file).allocated = address;
  return 0;
}
haddr_t end_of_written(const H5FD_t* file, H5FD_mem_t) {
  return ours(file).written;
}

/// What lies behind the end of the file, or was never written, is read as zeros.
herr_t read(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, std::size_t size, void* buffer) {
  auto* out = static_cast<char*>(buffer);
  while (size > 0) {
    const ssize_t count = ::pread(ours(file).descriptor, out, size, static_cast<off_t>(address));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    if (count == 0) {
      std::memset(out, 0, size);
      return 0;
    }
    out += count;
    address += static_cast<haddr_t>(count);
    size -= static_cast<std::size_t>(count);
  }
  return 0;
}

herr_t write(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, std::size_t size, const void* buffer) {
  SteadyFile& steady = ours(file);
  steady.written = std::max(steady.written, address + size);
  const auto* in = static_cast<const char*>(buffer);
  while (size > 0 && steady.failure->reason.empty()) {
    const ssize_t count = ::pwrite(steady.descriptor, in, size, static_cast<off_t>(address));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      note_failure(steady);
      break;
    }
    in += count;
    address += static_cast<haddr_t>(count);
    size -= static_cast<std::size_t>(count);
  }
  return 0;
}

herr_t truncate(H5FD_t* file, hid_t, hbool_t) {
  SteadyFile& steady = ours(file);
  if (steady.allocated == steady.written) return 0;
  if (steady.failure->reason.empty() && ::ftruncate(steady.descriptor, static_cast<off_t>(steady.allocated)) != 0)
    note_failure(steady);
  steady.written = steady.allocated;
  return 0;
}

H5FD_class_t driver_class() {
  H5FD_class_t driver{};
#ifdef H5FD_CLASS_VERSION
  driver.version = H5FD_CLASS_VERSION;
  driver.value = static_cast<H5FD_class_value_t>(600);  // of those left to applications
#endif
  driver.name = "tessera_steady";
  driver.maxaddr = static_cast<haddr_t>(std::numeric_limits<off_t>::max());
  driver.fc_degree = H5F_CLOSE_WEAK;
  driver.fapl_size = sizeof(void*);  // a WriteFailure*
  driver.open = open_file;
  driver.close = close_file;
  driver.cmp = compare_files;
  driver.query = query;
  driver.get_eoa = end_of_allocated;
  driver.set_eoa = set_end_of_allocated;
  driver.get_eof = end_of_written;
  driver.read = read;
  driver.write = write;
  driver.truncate = truncate;
  const H5FD_mem_t free_lists[] = H5FD_FLMAP_DICHOTOMY;
  std::copy(std::begin(free_lists), std::end(free_lists), driver.fl_map);
  return driver;
}

}  // namespace

void use_steady_driver(hid_t access, WriteFailure& failure) {
  static const H5FD_class_t driver = driver_class();
  // The file keeps the driver alive; the registration ends with the last file.
  const Handle registered(H5FDregister(&driver));
  const WriteFailure* const pointer = &failure;
  H5Pset_driver(access, registered.id(), &pointer);
}

}  // namespace tessera::h5::detail
