#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tessera/h5/dataset.hpp"
#include "tessera/results/schema.hpp"

// Where the rows of the schema table lie in the file of a given header.
namespace tessera::results {

/// A named axis and its length.
using NamedExtent = std::pair<std::string, std::int64_t>;

/// Is a variable of this presence in the file; `layer` is null outside /layers/<layer>.
bool is_present(Presence presence, const Header& header, const LayerHeader* layer);

/// The axes that a symbolic dimension stands for. `tiles` and `columns` are those of the layer.
std::vector<NamedExtent> extents(Dim dim, const Header& header, const LayerHeader* layer, std::int64_t tiles,
                                 std::int64_t columns);

/// "/layers/conv1" -> "/layers/<layer>", "/layers/conv1/cost" -> "/layers/<layer>/cost"; other groups are themselves.
std::string schema_group(const std::string& group);

/// Sets the attributes that every variable has.
void describe(h5::Dataset& dataset, std::string_view units, std::string_view long_name);

/// RunError unless the header describes a file that can be written: axis names, lengths, shapes.
void validate(const Header& header);

}  // namespace tessera::results
