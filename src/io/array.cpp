#include "tessera/io/array.hpp"

#include "tessera/h5/file.hpp"
#include "tessera/io/npy.hpp"

namespace tessera::io {

std::optional<Tensor> read_array(const std::string& path, const std::string& name) {
  if (!h5::is_hdf5(path)) return read_npy(path);
  const h5::File file = h5::File::open(path);
  if (!file.contains(name)) return std::nullopt;
  return file.dataset(name).read_tensor(h5::Precision::rounded);
}

}  // namespace tessera::io
