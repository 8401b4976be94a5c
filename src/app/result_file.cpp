#include "tessera/app/result_file.hpp"

#include "tessera/core/atomic_file.hpp"
#include "tessera/core/error.hpp"

namespace tessera::app {

h5::File ResultFile::open() const {
  return in_memory() ? h5::File::open_image(image, "results in memory") : h5::File::open(path);
}

void ResultFile::save(const std::string& file) const {
  require<RunError>(in_memory(), "'{}' is on the disk already", path);
  write_file(file, {reinterpret_cast<const char*>(image.data()), image.size()});
}

}  // namespace tessera::app
