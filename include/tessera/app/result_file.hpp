#pragma once
#include <string>

#include "tessera/h5/file.hpp"
#include "tessera/results/reader.hpp"

namespace tessera::app {

/// An HDF5 file that a computation made, on a disk or in memory: the same schema, the same values.
struct ResultFile {
  std::string path = {};  ///< "" in memory
  h5::Image image = {};   ///< the whole file, in memory

  bool in_memory() const { return path.empty(); }
  h5::File open() const;
  /// Of runs and sweeps (other kinds have their own readers in module results).
  results::Reader reader() const { return results::Reader(open()); }
  /// Writes what is in memory under a name. RunError where that fails, or the file is on a disk already.
  void save(const std::string& file) const;
};

}  // namespace tessera::app
