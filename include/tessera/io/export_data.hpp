#pragma once
#include <string>

#include "tessera/core/messages.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/io/dataset.hpp"

namespace tessera::io {

/// Writes a data set, batch by batch, so that other programs can read it:
/// - "name.h5": the data sets `inputs` and `labels` (class indices or targets; left out without labels), which format
///   hdf5 reads back with its default keys;
/// - "name.npy": the inputs, and "name_labels.npy" for the labels.
/// Inputs are stored as uint8 where they are unchanged uint8 values (no scale, mean or std), else as float32.
/// InputError for another extension, RunError if the file cannot be written; then nothing is left under its name.
void export_data(const DataSet& data, const std::string& path, Parallel parallel = {},
                 const Environment& environment = {});

}  // namespace tessera::io
