#pragma once
#include "tessera/h5/file.hpp"
#include "tessera/io/model_file.hpp"

/// What all writers and readers of model files share.
namespace tessera::io {

/// Everything of the model but its chips.
void write_contents(h5::File& file, const Model& model);
/// InputError if the file is no model file, or one of another major version.
void require_model_file(const h5::File& file);

}  // namespace tessera::io
