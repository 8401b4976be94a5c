#pragma once
#include <cstddef>
#include <vector>

namespace tessera::h5 {

/// The bytes of a whole HDF5 file, kept in memory (NewFile::in_memory(), File::open_image()).
using Image = std::vector<std::byte>;

}  // namespace tessera::h5
