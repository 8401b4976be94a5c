#pragma once
#include <string>

/// Included in front of every test source: where sources and build are. One object file knows, so that all others are
/// the same wherever they lie.
namespace tessera::testing {
const std::string& source_dir();
const std::string& binary_dir();
}  // namespace tessera::testing

#define TESSERA_SOURCE_DIR ::tessera::testing::source_dir()
#define TESSERA_BINARY_DIR ::tessera::testing::binary_dir()
