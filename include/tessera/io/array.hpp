#pragma once
#include <optional>
#include <string>

#include "tessera/core/tensor.hpp"

/// Whole arrays of numbers from files.
namespace tessera::io {

/// As float32: the array in an .npy file, or the data set `name` of an HDF5 file (whether it is one, its first bytes
/// tell); none if the HDF5 file has no such data set. InputError if the file cannot be read or holds no numbers.
std::optional<Tensor> read_array(const std::string& path, const std::string& name);

}  // namespace tessera::io
