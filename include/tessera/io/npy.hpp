#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "tessera/core/tensor.hpp"

/// NumPy .npy files (format version 1.0, little-endian, C order), as numpy.load reads them.
namespace tessera::io {

/// Writes `values` in row-major order under a temporary name, then renames. InputError if the element counts differ;
/// RunError, naming the path and the reason, if the file cannot be written.
void write_npy(const std::string& path, const Shape& shape, std::span<const float> values);
void write_npy(const std::string& path, const Shape& shape, std::span<const std::uint8_t> values);
void write_npy(const std::string& path, const Shape& shape, std::span<const std::int32_t> values);
void write_npy(const std::string& path, const Shape& shape, std::span<const std::int64_t> values);
void write_npy(const std::string& path, const Tensor& tensor);

/// A whole array as float32 (integers and float64 are rounded), of any type that the data sets read. InputError as for
/// data sets.
Tensor read_npy(const std::string& path);

}  // namespace tessera::io
