#pragma once
#include <string>
#include <vector>

namespace tessera::results {

/// Parts of a result file that say how it was made, not what came out: "/runtime", and the attribute created_utc of
/// the root, written "/@name".
inline const std::vector<std::string> not_compared{"/runtime", "/@created_utc"};

/// Compares two HDF5 files bit for bit: objects, types, shapes, names of axes, attributes, values (NaN equals the same
/// NaN). Order of creation and storage do not matter. One line per difference, at most `limit`; empty: equal.
/// `ignored` are paths of objects (with what is below them) and attributes ("path@name"). InputError if a file cannot
/// be read.
std::vector<std::string> compare(const std::string& path_a, const std::string& path_b,
                                 const std::vector<std::string>& ignored = not_compared, std::size_t limit = 100);

}  // namespace tessera::results
