#pragma once
#include "bindings.hpp"
#include "tessera/app/result_file.hpp"

namespace tessera::python {

/// A file as nested dictionaries: {"attrs": {...}, "variables": {name: (dims, array, attrs)}, "groups": {name: ...}}.
nb::dict to_tree(const app::ResultFile& file);

}  // namespace tessera::python
