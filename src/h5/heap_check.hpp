#pragma once
#include <cstdint>
#include <string>

#include "tessera/h5/object.hpp"

/// libhdf5 1.10 crashes or hangs on a damaged global heap, where text of variable length lives, so what it would read
/// is looked at first. Layout of a heap (HDF5 file format 3.0, section III.E): "GCOL", version 1, three zeros, size of
/// the heap (8 bytes), then objects: index (2 bytes; 0 = free space, the rest), references (2), zeros (4), size (8),
/// data padded to a multiple of 8.
namespace tessera::h5::detail {

/// InputError unless every global heap of the file is well-formed. Files above 64 MiB are not searched.
void check_heaps(const std::string& file);

/// InputError unless the `count` references to text stored contiguously at byte `offset` of the file lead to objects of
/// well-formed heaps.
void check_text_references(const Location& where, std::uint64_t offset, std::uint64_t count);

}  // namespace tessera::h5::detail
