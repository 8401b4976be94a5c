#pragma once
#include <string>

/// Included in front of every test source: where sources and build are. One object file knows, so that all others are
/// the same wherever they lie.
namespace tessera::test_paths {
const std::string& source_dir();
const std::string& binary_dir();
}  // namespace tessera::test_paths

#define TESSERA_SOURCE_DIR ::tessera::test_paths::source_dir()
#define TESSERA_BINARY_DIR ::tessera::test_paths::binary_dir()
